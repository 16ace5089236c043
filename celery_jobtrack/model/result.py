"""What became of a job, as whoever asks for results gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_jobtrack.model.job import ErrorInfo
    from celery_jobtrack.model.state import JobState, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A job that succeeded, and what it returned."""

    job_id: str
    state: JobState
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A job that failed or was revoked, and why."""

    job_id: str
    state: JobState
    reason: Reason | None
    error: ErrorInfo | None
    """None where nothing was raised, as of a job that was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotKept:
    """A job that succeeded or was skipped, and of which there is no value."""

    job_id: str
    state: JobState
    why: str
    """In words, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A job that has not ended."""

    job_id: str
    state: JobState


JobResult = Result | Failure | NotKept | Pending
