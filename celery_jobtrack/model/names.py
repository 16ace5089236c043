"""What names may be: they stand in tables, keys, terminals and web pages."""

from __future__ import annotations

import unicodedata
from typing import TypeVar

E = TypeVar("E", bound=Exception)

LONGEST = 255
"""Bytes of UTF-8."""


def check_name(what: str, name: object, error: type[E]) -> str:
    """The name, if it can be one.

    Emoji, quotes and SQL are names like any other; control characters (NUL and line breaks among
    them) and lone surrogates are refused, because they break terminals, logs and PostgreSQL.

    Args:
        what: What it names, for the message: "a group's key".
        name: The name.
        error: The exception to raise if it cannot be one.
    """
    if not isinstance(name, str) or not name:
        raise error(f"{what} must be a string that is not empty, not {name!r}")
    bad = [character for character in name if unicodedata.category(character) in {"Cc", "Cs"}]
    if bad:
        raise error(f"{what} must not hold control characters: {name!r} holds {bad[0]!r}")
    size = len(name.encode())
    if size > LONGEST:
        raise error(f"{what} must be at most {LONGEST} bytes long, not {size}: {name[:40]!r}…")
    return name
