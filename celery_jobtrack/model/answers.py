"""What a store answers to the transitions of jobs.

Reading a whole job costs as much as asking for it, and a worker that runs jobs looks at one only when
somebody listens. So a store may give a job as a function that reads it from what it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import Refusal


class EnqueueResult:
    """``created`` is False when the id was recorded before: nothing is counted twice.

    Args:
        job: The job, or what gives it.
        created: Whether this call recorded it.
        held_back: Whether it is not to be published: it waits for its turn, or was skipped.
        events: What it caused: a member that is skipped at once may be its group's last.
        called: Ids of parked jobs whose turn has come.
        superseded: Ids of parked jobs whose place this one took: they are to be ended.
    """

    __slots__ = ("_job", "called", "created", "events", "held_back", "superseded")

    def __init__(
        self,
        *,
        job: JobRecord | Callable[[], JobRecord],
        created: bool,
        held_back: bool = False,
        events: tuple[EventRecord, ...] = (),
        called: tuple[str, ...] = (),
        superseded: tuple[str, ...] = (),
    ) -> None:
        self._job = job
        self.called = called
        self.created = created
        self.held_back = held_back
        self.events = events
        self.superseded = superseded

    @property
    def job(self) -> JobRecord:
        """The job as it is recorded now."""
        if callable(self._job):
            self._job = self._job()
        return self._job


class StartResult:
    """Whether the body may run. ``events`` are claimed by the caller, who delivers them.

    Args:
        job: The job, or what gives it.
        attempt: The open attempt, or what gives it; None when the start was refused.
        refusal: Why it was refused; None when it was not.
        settled: Whether the refusal itself ended the job.
        events: What the start caused.
        fences: The fence of each key that the attempt holds.
        called: Ids of parked jobs whose turn has come.
        superseded: Ids of parked jobs whose place this one took: they are to be ended.
    """

    __slots__ = ("_attempt", "_job", "called", "events", "fences", "refusal", "settled", "superseded")

    def __init__(
        self,
        *,
        job: JobRecord | Callable[[], JobRecord],
        attempt: Attempt | Callable[[], Attempt | None] | None = None,
        refusal: Refusal | None = None,
        settled: bool = False,
        events: tuple[EventRecord, ...] = (),
        fences: tuple[tuple[str, int], ...] = (),
        called: tuple[str, ...] = (),
        superseded: tuple[str, ...] = (),
    ) -> None:
        self._job = job
        self._attempt = attempt
        self.refusal = refusal
        self.settled = settled
        self.events = events
        self.fences = fences
        self.called = called
        self.superseded = superseded

    @property
    def admitted(self) -> bool:
        """Whether the body may run."""
        return self.refusal is None

    @property
    def job(self) -> JobRecord:
        """The job as it is recorded now."""
        if callable(self._job):
            self._job = self._job()
        return self._job

    @property
    def attempt(self) -> Attempt | None:
        """The open attempt; None when the start was refused."""
        if callable(self._attempt):
            self._attempt = self._attempt()
        return self._attempt


class Settled:
    """What closing or settling came to. ``events`` are claimed by the caller, who delivers them.

    Args:
        job: The job, or what gives it; None when it is not recorded.
        applied: Whether this call made the transition; False for a repeated or a late one.
        events: What the transition caused.
        called: Ids of parked jobs whose turn has come.
    """

    __slots__ = ("_job", "applied", "called", "events")

    def __init__(
        self,
        *,
        job: JobRecord | Callable[[], JobRecord] | None,
        applied: bool,
        events: tuple[EventRecord, ...] = (),
        called: tuple[str, ...] = (),
    ) -> None:
        self._job = job
        self.applied = applied
        self.events = events
        self.called = called

    @property
    def job(self) -> JobRecord | None:
        """The job as it is recorded now; None when it is not."""
        if callable(self._job):
            self._job = self._job()
        return self._job
