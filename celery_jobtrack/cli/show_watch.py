"""A group as it goes on: a live bar, or a line for every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from celery_jobtrack.cli.clean import clean
from celery_jobtrack.cli.screen import print_whole
from celery_jobtrack.cli.show_group import bar_completed, time_left
from celery_jobtrack.cli.show_groups import counts
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.watch import Changes
from celery_jobtrack.model.spans import span

if TYPE_CHECKING:
    from contextlib import ExitStack
    from datetime import datetime

    from rich.console import Console

    from celery_jobtrack.model.group import GroupStatus


class LiveBar:
    """Two lines that are drawn anew: title and bar, numbers and pace."""

    def __init__(self, console: Console, stack: ExitStack) -> None:
        # Drawn by this thread only: Ctrl-C and a closed terminal are then met here.
        self._live = stack.enter_context(Live(console=console, auto_refresh=False, redirect_stderr=False))

    def show(self, status: GroupStatus, now: datetime) -> None:
        """Draw the numbers."""
        head = Table.grid(padding=(0, 2, 0, 0), expand=True)
        head.add_column(no_wrap=True, overflow="ellipsis", max_width=30)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        bar = ProgressBar(total=max(1, status.total), completed=bar_completed(status))
        head.add_row(Text(clean(status.title), style="bold"), bar, Text(_done(status)))
        self._live.update(Group(head, _numbers(status, now)), refresh=True)


class Lines:
    """One line for every change, with the time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._changes = Changes()

    def show(self, status: GroupStatus, now: datetime) -> None:
        """Print the numbers if they are new."""
        if self._changes.is_new(status):
            line = Text.assemble(f"{now:%H:%M:%S}  {_done(status)}  ", _numbers(status, now))
            line.no_wrap, line.overflow = True, "ignore"
            print_whole(self._console, line)


def _done(status: GroupStatus) -> str:
    return f"{status.percent:3.0f} %  {status.final:,} of {status.total:,}"


def _numbers(status: GroupStatus, now: datetime) -> Text:
    return Text.assemble(
        state_text(status.state),
        "  ",
        counts(status),
        (f"  {pace}" if (pace := _pace(status, now)) else "", "dim"),
    )


def _pace(status: GroupStatus, now: datetime) -> str:
    if status.started_at is None:
        return "being filled" if status.filling else ""
    if status.completed_at is not None:
        return f"took {span((status.completed_at - status.started_at).total_seconds())}"
    seconds = (now - status.started_at).total_seconds()
    said = ["being filled"] if status.filling else []
    if status.final and seconds > 0:
        said.append(_rate(status.final / seconds))
    if (left := time_left(status, now)) is not None:
        said.append(f"{left} left")
    return ", ".join(said)


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min"
