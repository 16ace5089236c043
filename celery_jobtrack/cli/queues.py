"""``queues``: what waits where, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.times import Span

if TYPE_CHECKING:
    from datetime import timedelta

    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@click.option("--window", type=Span(), default="1m", show_default=True, help="Of which time the rates are.")
@pass_surface
def queues(surface: Surface, window: timedelta) -> None:
    """Show what waits in each queue, and who consumes it.

    The workers are asked, which takes a second or two. What nobody knows is left out.

    \b
    Examples:
      celery -A shop jobtrack queues
      celery -A shop jobtrack queues --window 10m --json
    """  # noqa: D301
    found = surface.jobtrack.inspect.queues(window=window)

    def show() -> Any:
        from celery_jobtrack.cli.show_queues import queues_table

        return queues_table(found)

    surface.answer({"items": found}, show)
