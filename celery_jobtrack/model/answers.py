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
    """

    __slots__ = ("_job", "created")

    def __init__(self, *, job: JobRecord | Callable[[], JobRecord], created: bool) -> None:
        self._job = job
        self.created = created

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
    """

    __slots__ = ("_attempt", "_job", "events", "refusal", "settled")

    def __init__(
        self,
        *,
        job: JobRecord | Callable[[], JobRecord],
        attempt: Attempt | Callable[[], Attempt | None] | None = None,
        refusal: Refusal | None = None,
        settled: bool = False,
        events: tuple[EventRecord, ...] = (),
    ) -> None:
        self._job = job
        self._attempt = attempt
        self.refusal = refusal
        self.settled = settled
        self.events = events

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
    """

    __slots__ = ("_job", "applied", "events")

    def __init__(
        self,
        *,
        job: JobRecord | Callable[[], JobRecord] | None,
        applied: bool,
        events: tuple[EventRecord, ...] = (),
    ) -> None:
        self._job = job
        self.applied = applied
        self.events = events

    @property
    def job(self) -> JobRecord | None:
        """The job as it is recorded now; None when it is not."""
        if callable(self._job):
            self._job = self._job()
        return self._job
