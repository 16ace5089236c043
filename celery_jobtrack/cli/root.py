"""The command that the others hang under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import handle_preload_options

if TYPE_CHECKING:
    from collections.abc import Mapping


class InOrder(click.Group):
    """A group whose help lists its commands in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names, in the order in which they were added."""
        return list(self.commands)


@click.group(name="jobtrack", cls=InOrder, short_help="See and steer tracked jobs and groups.")
@click.pass_context
@handle_preload_options
def jobtrack(_ctx: click.Context, **_options: Mapping[str, Any]) -> None:
    """See and steer tracked jobs and groups.

    Each command takes --json and then prints one JSON document. What fails is said in one line on
    stderr with exit code 1; an id that was never recorded is exit code 2.

    \b
    Examples:
      celery -A shop jobtrack status
      celery -A shop jobtrack jobs --state FAILURE --since 2h
      celery -A shop jobtrack group nightly --watch
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
