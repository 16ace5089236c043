"""``check``: one tick of the checker, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.errors import JobTrackError

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@pass_surface
def check(surface: Surface) -> None:
    """Run one tick of the checker by hand.

    Workers and beat do the same every few seconds. It ends what was lost or has expired, publishes lost
    messages again, counts due groups anew, and has waiting events delivered. While another checker is at
    it, nothing is done.

    \b
    Example:
      celery -A shop jobtrack check
    """  # noqa: D301
    surface.load_tasks()
    tick = surface.jobtrack.check()

    def show() -> Any:
        from celery_jobtrack.cli.show_tick import tick_lines

        return tick_lines(tick)

    surface.answer({"ran": tick is not None, "tick": tick}, show)
    if tick is not None and tick.failed:
        raise JobTrackError(f"a step failed and is tried again at the next tick: {', '.join(tick.failed)}")
