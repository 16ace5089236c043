"""Names and ids as they are typed."""

from __future__ import annotations

from typing import Any

import click


class Name(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """Text that a store can be asked for: a terminal can send bytes that are none."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not text in UTF-8", param, ctx)
        return str(value)
