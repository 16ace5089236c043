"""One census: its group, its jobs, and watching them until the report is written."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery_jobtrack import GroupStatus, JobGroup
from example_app import ledger
from example_app.app import HOME, jobtrack
from example_app.demo.processes import Child
from example_app.demo.screen import Screen
from example_app.demo.trouble import TroubleError
from example_app.demo.work import Work
from example_app.jobs import FindDuplicates
from example_app.tasks import measure, weigh

PATIENCE = 120.0
"""Seconds without any change after which a run counts as stuck."""
LOOK_EVERY = 0.2
"""Seconds between two looks at how it goes on."""


class Census:
    """Dispatches the jobs of one census and waits for them.

    Args:
        work: What is counted.
        children: The worker and beat; when one of them ends, that is trouble.
        screen: Is told how it goes on.
        check: Called often; may raise.
    """

    def __init__(
        self, work: Work, children: Sequence[Child], screen: Screen, check: Callable[[], None]
    ) -> None:
        self.work = work
        self.names: dict[str, str] = {}
        """What each job is about, by the job's id."""
        self.times: dict[str, float] = {}
        """Seconds that each part has taken."""
        self.group: JobGroup | None = None
        self.status: GroupStatus | None = None
        self.report: dict[str, int] | None = None
        self._children = children
        self._screen = screen
        self._check = check
        self._events: list[str] = []
        self._look_at = 0.0
        self._seen: object = None
        self._changed = time.monotonic()

    def run(self) -> None:
        """Count everything.

        Raises:
            TroubleError: A process has ended, or nothing goes on any more.
        """
        self._wait("starting", self._is_ready)
        self._screen.ready(self._children)
        root = str(self.work.root).encode(errors="replace").decode()
        self.group = jobtrack.groups.create("Source census", description=root)
        with self._screen.progress():
            self._dispatch(self.group)
            self._wait("working", self._is_complete)
            self._wait("reporting", self._is_reported)
        self._screen.reported()

    def _dispatch(self, group: JobGroup) -> None:
        """Dispatch a job for the tree, one for each file, one for each directory."""
        begin, work = time.monotonic(), self.work
        with group.filling():  # It cannot complete before the last of them is dispatched.
            if work.samples:
                arrived = _arrive()
                self._dispatch_one(measure.job(str(arrived)), work.name(arrived))
            self._dispatch_one(
                FindDuplicates.job(tree=str(work.root), limit=len(work.files)), "find-duplicates"
            )
            for path in [*work.samples, *work.files]:
                self._dispatch_one(measure.job(str(path)), work.name(path))
            for directory in work.directories:
                self._dispatch_one(weigh.job(str(directory)), work.name(directory))
        self.times["dispatching"] = time.monotonic() - begin

    def _dispatch_one(self, pending: Any, name: str) -> None:
        self.names[pending.in_group(self.group).dispatch().id] = name
        self._look()

    def _wait(self, part: str, done: Callable[[], bool]) -> None:
        begin = time.monotonic()
        while not done():
            self._look()
            time.sleep(LOOK_EVERY / 4)
        self._look(now=True)
        self.times[part] = time.monotonic() - begin

    def _is_ready(self) -> bool:
        return any(worker.pid == self._children[0].pid for worker in jobtrack.inspect.workers())

    def _is_complete(self) -> bool:
        return self.status is not None and self.status.completed_at is not None

    def _is_reported(self) -> bool:
        assert self.group is not None
        self.report = ledger.read(self.group.id, "report")
        return self.report is not None and "completed" in self._events

    def _look(self, *, now: bool = False) -> None:
        """See how it goes on, if it is time to."""
        time_now = time.monotonic()
        if time_now < self._look_at and not now:
            return
        self._check()
        self._look_at_children()
        if self.group is not None:
            self._look_at_group(self.group)
        seen = (self.status, len(self.names), len(self._events))
        if seen != self._seen:
            self._seen, self._changed = seen, time_now
        elif time_now - self._changed > PATIENCE:
            worker = self._children[0]
            raise TroubleError(f"nothing has happened for {PATIENCE:.0f} s", worker.log, worker.tail())
        self._look_at = time.monotonic() + LOOK_EVERY

    def _look_at_children(self) -> None:
        for child in self._children:
            if ended := child.ended():
                raise TroubleError(f"the {child.name} {ended}", child.log, child.tail())

    def _look_at_group(self, group: JobGroup) -> None:
        self.status = group.status()
        for row in ledger.rows(group.id, "events")[len(self._events) :]:
            self._events.append(row["event"])
            self._screen.event(row["event"], row["id"])
        self._screen.update(len(self.names), self.work.jobs, self.status)


def _arrive() -> Path:
    """Write a file at this moment: its job finds it too fresh, and is retried."""
    path = HOME / "arrivals" / "just_arrived.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text('"""A file that has just been uploaded."""\n')
    return path
