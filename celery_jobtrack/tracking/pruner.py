"""Deletes what has been kept for long enough, in chunks."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.retention import Retention, Retentions
from celery_jobtrack.model.state import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from celery_jobtrack.model.retention import Rule
    from celery_jobtrack.model.state import JobState
    from celery_jobtrack.tracking.tracker import Tracker

CHUNK = 500
"""Rows that are deleted in one transaction, so that nobody waits long for it."""
PAUSE = timedelta(minutes=1)
"""Between two looks for what is old, when the last one found nothing more."""
SHARE = 100
"""After looks that found nothing the pause is at least so many times as long as they took: a task that
keeps its jobs for much longer than the others makes them long."""
LOCKS_IDLE = 3600.0
"""Seconds for which a key is kept at which nobody stands, for people who look: nothing else needs it."""

LONGEST_TICK = 1.0
"""Seconds after which a tick begins no further chunk; the next tick goes on where it stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much was deleted because it was old."""

    jobs: int = 0
    groups: int = 0
    workers: int = 0
    locks: int = 0
    """Keys at which nobody stood."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.jobs + self.groups + self.workers + self.locks

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            jobs=self.jobs + other.jobs,
            groups=self.groups + other.groups,
            workers=self.workers + other.workers,
            locks=self.locks + other.locks,
        )


class Pruner:
    """Prunes by the retention of the app and of its tasks.

    Ticks look for what is old in rounds: each kind of job, then groups, then workers. One that gave a
    chunk has another turn after the others, and a round ends when none has anything left.

    Args:
        tracker: Whose store is pruned.
        chunk: How much is deleted in one transaction.
        clock: Seconds that pass, to keep a tick short.
    """

    def __init__(
        self, tracker: Tracker, *, chunk: int = CHUNK, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracker = tracker
        self._store = tracker.store
        self._chunk = chunk
        self._clock = clock
        self._left: deque[Callable[[], Pruned]] = deque()
        self._next_look: datetime | None = None
        self._in_vain = 0.0
        """Seconds that looks took which found nothing, since the last pause."""

    def tick(self) -> int:
        """Do a second's worth of what is due: one chunk of each kind in turn, so that none has to wait.

        Returns:
            How many jobs, groups and workers were deleted.
        """
        if not self._left:
            now = self._store.now()
            if self._next_look is not None and now < self._next_look:
                return 0
            self._next_look = now + PAUSE
            self._in_vain = 0.0
            self._left.extend(self._steps(self._tracker.ports.retentions()))
        begin = before = self._clock()
        pruned = 0
        while self._left and before - begin < LONGEST_TICK:
            step = self._left.popleft()
            found = step().total
            after = self._clock()
            pruned += found
            if found:
                self._left.append(step)
            else:
                self._in_vain += after - before
            before = after
        if not self._left:
            self._pause()
        return pruned

    def _pause(self) -> None:
        rest = self._store.now() + timedelta(seconds=SHARE * self._in_vain)
        self._next_look = rest if self._next_look is None else max(self._next_look, rest)

    def prune(
        self, *, older_than: float | None = None, states: Collection[JobState] | None = None
    ) -> Iterator[Pruned]:
        """Delete everything that is due, chunk by chunk.

        Args:
            older_than: Seconds, for everything and every task, instead of their retention.
            states: Only jobs that ended in these; groups and workers stay then.

        Yields:
            What each chunk deleted.
        """
        if older_than is None:
            retentions = self._tracker.ports.retentions()
        else:
            retentions = Retentions(default=Retention.alike(older_than))
        for step in self._steps(retentions, states):
            while (pruned := step()).total:
                yield pruned

    def _steps(
        self, retentions: Retentions, states: Collection[JobState] | None = None
    ) -> Sequence[Callable[[], Pruned]]:
        steps = [self._jobs(rule) for rule in retentions.rules(FINAL if states is None else states)]
        if states is None:
            if retentions.default.group is not None:
                steps.append(self._groups(retentions.default.group))
            worker = max(each.worker for each in _each(retentions))
            steps += [self._workers(worker), self._locks(min(worker, LOCKS_IDLE))]
        return steps

    def _jobs(self, rule: Rule) -> Callable[[], Pruned]:
        def prune() -> Pruned:
            before = self._store.now() - timedelta(seconds=rule.seconds)
            return Pruned(
                jobs=self._store.prune_jobs(
                    rule.state, before, self._chunk, tasks=rule.tasks, without_tasks=rule.without_tasks
                )
            )

        return prune

    def _groups(self, seconds: float) -> Callable[[], Pruned]:
        def prune() -> Pruned:
            before = self._store.now() - timedelta(seconds=seconds)
            return Pruned(groups=self._store.prune_groups(before, self._chunk))

        return prune

    def _workers(self, seconds: float) -> Callable[[], Pruned]:
        def prune() -> Pruned:
            before = self._store.now() - timedelta(seconds=seconds)
            return Pruned(workers=self._store.prune_workers(before, self._chunk))

        return prune

    def _locks(self, seconds: float) -> Callable[[], Pruned]:
        def prune() -> Pruned:
            before = self._store.now() - timedelta(seconds=seconds)
            return Pruned(locks=self._store.prune_locks(before, self._chunk))

        return prune


def _each(retentions: Retentions) -> Iterator[Retention]:
    yield retentions.default
    yield from retentions.tasks.values()
