"""A job and its attempts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.state import JobState, Outcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running job says it is: ``current`` of ``total``, and what it is doing."""

    current: float
    total: float | None = None
    text: str = ""

    @property
    def percent(self) -> float | None:
        """From 0 to 100; None while the total is not known."""
        if not self.total:
            return None
        return max(0.0, min(100.0, 100.0 * self.current / self.total))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """An exception as it is kept: its type's name, its text, and the traceback's text."""

    type: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What the store knows of one job. Times are aware and in UTC, given by the store's clock."""

    id: str
    task: str
    state: JobState
    reason: Reason | None = None
    queue: str | None = None
    priority: int | None = None
    """From 0 to 9; 9 goes first, whatever the broker calls it. None if it was given none."""
    args: str | None = None
    """The arguments as they are shown (see ``jobtrack_record_args``), not the message."""
    kwargs: str | None = None
    tags: tuple[str, ...] = ()
    group_id: str | None = None
    generation: int | None = None
    """The group's generation in which this job was counted."""
    retries: int = 0
    max_retries: int | None = None
    """Set for this dispatch only; None leaves it to the task."""
    run: int = 1
    """1, and one more with every redrive."""
    attempts: int = 0
    """How many attempts were started."""
    token: str | None = None
    """Of the attempt that is open; None when none is."""
    root_id: str | None = None
    parent_id: str | None = None
    enqueued_at: datetime | None = None
    published_at: datetime | None = None
    """When its message was last handed to the broker, or was about to be; None while it has none."""
    copies: int = 0
    """How often it was published again because its message seemed lost."""
    eta: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    copy_waiting: bool = False
    """A message of this job was refused because an attempt was open."""
    keyed: bool = False
    """Whether it claims keys: whatever moves it has to look after its places at them."""
    waits_for: str | None = None
    """The key in whose line it is; None when it is in none."""
    blocked_by: str | None = None
    """The job that had the key when this one was parked or skipped."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state.is_final

    @property
    def runtime(self) -> float | None:
        """Seconds from the last start to the end; None while there is no end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def evolve(self, **changes: Any) -> JobRecord:
        """A copy with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of a job. All attempts are kept as long as their job."""

    token: str
    job_id: str
    number: int
    """1, 2, …: given by the store when the token first arrives."""
    worker_id: str
    """The worker's identity: one per boot."""
    worker: str
    """The worker's name, as Celery shows it."""
    pid: int
    retries: int = 0
    run: int = 1
    reruns: bool = False
    """Whether the job may be run again if this attempt is lost with its worker."""
    started_at: datetime
    finished_at: datetime | None = None
    outcome: Outcome | None = None
    error: ErrorInfo | None = None
    late_outcome: Outcome | None = None
    """What a worker that had been given up reported afterwards."""

    @property
    def is_open(self) -> bool:
        """Whether the attempt has not been closed."""
        return self.outcome is None

    def evolve(self, **changes: Any) -> Attempt:
        """A copy with ``changes``."""
        return replace(self, **changes)
