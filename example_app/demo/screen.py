"""What the demonstration shows: a live progress bar on a terminal, plain lines elsewhere."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from celery_jobtrack import GroupStatus
from example_app.demo.outcome import Entry, Outcome
from example_app.demo.processes import Child
from example_app.demo.trouble import TroubleError
from example_app.demo.work import Work
from example_app.sources import FIGURES

if TYPE_CHECKING:
    from example_app.demo.census import Census

LINE_EVERY = 5.0
"""Seconds between two lines about the progress where there is no live bar."""
LONGEST_LIST = 20


class Screen:
    """Writes to standard output; what went wrong with the run to standard error.

    Args:
        home: The work directory.
    """

    def __init__(self, home: Path) -> None:
        self._home = _short(home)
        self._out = Console(highlight=False)
        self._err = Console(highlight=False, stderr=True)
        self._live = self._out.is_terminal and not self._out.is_dumb_terminal
        self._progress: Progress | None = None
        self._begin = self._line_at = time.monotonic()

    def begin(self, work: Work) -> None:
        """Say what is going to be counted."""
        self._out.print(Text(f"Source census of {_clean(str(work.root))}", style="bold"))
        without = f" ({', '.join(work.left_out)} left out)" if work.left_out else ""
        self._say(f"{_count(len(work.files), 'file')}, {_count(len(work.directories), 'directory')}{without}")
        if work.samples:
            self._say(f"{len(work.samples)} samples come along, most of them broken: those jobs will fail")
        self._say(f"state and logs are in {self._home}")
        self._out.print()

    def ready(self, children: Sequence[Child]) -> None:
        """Say that the processes run."""
        running = " and ".join(f"{child.name} (pid {child.pid})" for child in children)
        self._tell(f"{running} are running")

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show progress while the block runs."""
        if not self._live:
            yield
            return
        self._progress = Progress(
            TextColumn("  {task.description:<10}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self._out,
            transient=True,
            auto_refresh=False,
        )
        try:
            with self._progress:
                for name in ("dispatched", "done"):
                    self._progress.add_task(name, total=None, note="")
                yield
        finally:
            self._progress = None

    def update(self, dispatched: int, jobs: int, status: GroupStatus) -> None:
        """Show how far it is."""
        parts = {"failed": status.failed, "to retry": status.retrying}
        note = ", ".join(f"{number} {what}" for what, number in parts.items() if number)
        if self._progress is not None:
            bars = self._progress.task_ids
            self._progress.update(bars[0], completed=dispatched, total=jobs)
            self._progress.update(bars[1], completed=status.final, total=jobs, note=note)
            self._progress.refresh()
        elif time.monotonic() - self._line_at >= LINE_EVERY:
            self._line_at = time.monotonic()
            told = f"{dispatched:,} of {jobs:,} jobs dispatched, {status.final:,} done"
            self._tell(f"{told} ({note})" if note else told)

    def event(self, name: str, event_id: str) -> None:
        """Show an event of the group, as a listener in the worker has noted it."""
        self._tell(f"event: job_group_{name}", "bold green", f"({event_id})")

    def reported(self) -> None:
        """Say that the report job is done."""
        self._tell("the report is written, by a job that the last event has dispatched")

    def result(self, census: "Census", outcome: Outcome) -> None:
        """Show what came out."""
        self._totals(census)
        self._list("Failed", outcome.failures, "these files are broken, the run is fine", "red")
        self._list("Retried, then succeeded", outcome.retried, "", "yellow")
        self._table("Slowest jobs", outcome.slowest)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Say what is going on while the block runs, where that can be taken back."""
        if not self._live:
            yield
            return
        with self._out.status("stopping worker and beat"):
            yield

    def end(self, census: "Census", outcome: Outcome) -> None:
        """Show where the time went, and what to do next."""
        self._times(census)
        self._next(census)
        for problem in outcome.unexpected:
            self._err.print(Text(f"example_app: this should not be: {problem}", style="bold red"))

    def trouble(self, error: Exception) -> None:
        """Say what is wrong with the run."""
        name = "" if isinstance(error, TroubleError) else f"{type(error).__name__}: "
        self._err.print(Text(f"example_app: {name}{_clean(str(error))}", style="bold red"), soft_wrap=True)
        if isinstance(error, TroubleError) and error.log:
            self._err.print(Text(f"The end of {_short(error.log)}:"), soft_wrap=True)
            for line in error.lines:
                self._err.print(Text(f"  {_clean(line)}"), soft_wrap=True)
            self._err.print(Text("What was dispatched is not lost, another worker goes on with it:"))
            self._err.print(Text(f"  {_celery()} worker"), soft_wrap=True)

    def stopped(self) -> None:
        """Say that the run was stopped."""
        self._tell("stopped: nothing runs any more; the next run begins anew, or goes on with --keep")

    def _totals(self, census: "Census") -> None:
        assert census.report is not None
        assert census.status is not None
        report, status = census.report, census.status
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        figures = {name: report[name] for name in ("files", *FIGURES)}
        for name in figures:
            table.add_column(name, justify="right")
        table.add_row(*(f"{figure:,}" for figure in figures.values()))
        self._out.print()
        self._out.print(Padding(table, (0, 0, 0, 2)))
        size = f"{report['bytes'] / 1_000_000:,.1f} MB"
        self._say(
            f"{_count(report['directories'], 'directory')}, {size}; duplicates: {report['duplicates']:,}"
        )
        ends = {"succeeded": status.succeeded, "failed": status.failed, "revoked": status.revoked}
        told = ", ".join(f"{number:,} {how}" for how, number in ends.items() if number)
        self._say(f"{_count(status.total, 'job')}: {told}")

    def _list(self, title: str, entries: list[Entry], remark: str, style: str) -> None:
        if not entries:
            return
        self._title(f"{title}: {len(entries)}", remark)
        for entry in entries[:LONGEST_LIST]:
            name = Text(f"    {_clean(entry.name)}").append(f"  {entry.what}", style=style)
            self._out.print(name, no_wrap=True, overflow="ellipsis")
            if entry.why:
                why = Text(f"      {_clean(entry.why)}", style="dim")
                self._out.print(why, no_wrap=True, overflow="ellipsis")
        if len(entries) > LONGEST_LIST:
            self._say(f"  … and {len(entries) - LONGEST_LIST} more")

    def _table(self, title: str, entries: list[Entry], remark: str = "") -> None:
        self._title(title, remark)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(overflow="ellipsis", no_wrap=True, min_width=26)
        table.add_column(justify="right", no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, style="dim")
        for entry in entries:
            table.add_row(*(Text(_clean(text)) for text in (entry.name, entry.what, entry.why)))
        self._out.print(Padding(table, (0, 0, 0, 4)))

    def _title(self, title: str, remark: str) -> None:
        self._out.print()
        self._out.print(
            Text(f"  {title}", style="bold").append(remark and f" ({remark})", style="not bold dim")
        )

    def _times(self, census: "Census") -> None:
        assert census.status is not None
        assert census.status.started_at is not None
        assert census.status.completed_at is not None
        jobs, times = census.status.total, census.times
        running = (census.status.completed_at - census.status.started_at).total_seconds()
        entries = [
            Entry("starting worker and beat", f"{times['starting']:.1f} s"),
            Entry(
                f"dispatching {_count(jobs, 'job')}",
                f"{times['dispatching']:.1f} s",
                _rate(jobs, times["dispatching"]),
            ),
            Entry("running them meanwhile", f"{running:.1f} s", _rate(jobs, running)),
            Entry("stopping worker and beat", f"{times['stopping']:.1f} s"),
        ]
        self._table("Where the time went", entries, f"{time.monotonic() - self._begin:.1f} s in all")

    def _next(self, census: "Census") -> None:
        assert census.group is not None
        self._title("To look at it again", f"all of it stays in {self._home} until the next run")
        for command in ("status", "groups", f"group {census.group.id}", "jobs --state FAILURE"):
            self._out.print(Text(f"    {_celery()} jobtrack {command}"), soft_wrap=True)

    def _say(self, text: str) -> None:
        self._out.print(Text(f"  {_clean(text)}"))

    def _tell(self, text: str, style: str = "", more: str = "") -> None:
        """A line about something that happens now."""
        line = Text(f"  {time.monotonic() - self._begin:5.1f} s  ", style="dim")
        line.append(_clean(text), style=style or "not dim")
        line.append(more and f" {more}", style="dim")
        self._out.print(line, soft_wrap=True)


def _short(path: Path) -> str:
    """A path as it may be typed here."""
    return _clean(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _celery() -> str:
    """The command line that works with this run's state."""
    command = f"{_short(Path(sys.executable).with_name('celery'))} -A example_app.app"
    home = os.environ.get("CENSUS_HOME")
    return f"CENSUS_HOME={shlex.quote(home)} {command}" if home else command


def _count(number: int, what: str) -> str:
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what if number == 1 else many}"


def _rate(jobs: int, seconds: float) -> str:
    return f"{jobs / max(seconds, 0.001):,.0f} jobs/s"


def _clean(text: str) -> str:
    """Without what a terminal would obey, or could not show."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )
