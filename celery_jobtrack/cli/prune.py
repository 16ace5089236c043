"""``prune``: deletes what has been kept for long enough."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.times import Span
from celery_jobtrack.model.state import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from celery_jobtrack.cli.surface import Surface
    from celery_jobtrack.tracking.pruner import Pruned

_STATES = sorted(state.value for state in FINAL)


@click.command(cls=Command)
@click.option(
    "--older-than",
    type=Span(),
    help="What ended longer ago than 90s, 30m, 2h, 7d or 1w, whatever the settings and the tasks say.",
)
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES, case_sensitive=False),
    multiple=True,
    metavar="STATE",
    help=f"Only jobs that ended so, no groups and workers: {', '.join(_STATES)}. Can be given again.",
)
@pass_surface
def prune(surface: Surface, older_than: timedelta | None, states: tuple[str, ...]) -> None:
    """Delete what has been kept for long enough.

    That is ended jobs, completed groups without members, and workers that are gone; jobtrack_retention,
    and retention of a task, say when. The checker does the same bit by bit.

    \b
    Examples:
      celery -A shop jobtrack prune
      celery -A shop jobtrack prune --older-than 7d --state SUCCESS --state SKIPPED
    """  # noqa: D301
    surface.load_tasks()
    with ExitStack() as stack:
        pruned = surface.jobtrack.prune(
            older_than=older_than, states=states or None, on_chunk=_progress(surface, stack)
        )

    def show() -> Any:
        from rich.text import Text

        from celery_jobtrack.cli.show_pruned import pruned_text

        return Text(f"Deleted {pruned_text(pruned)}." if pruned.total else "Nothing was to be deleted.")

    surface.answer(pruned, show)


def _progress(surface: Surface, stack: ExitStack) -> Callable[[Pruned], None] | None:
    """A line that counts on a terminal; None elsewhere."""
    if surface.as_json or not surface.console.is_terminal or surface.console.is_dumb_terminal:
        return None
    from celery_jobtrack.cli.show_pruned import CountingLine

    return CountingLine(surface.console, stack).show
