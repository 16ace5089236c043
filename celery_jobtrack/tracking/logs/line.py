"""One line of a log: an object of JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celery_jobtrack.model.job import ErrorInfo, JobRecord

EVENTS: Mapping[JobState, str] = MappingProxyType(
    {
        JobState.ENQUEUED: "enqueued",
        JobState.STARTED: "started",
        JobState.RETRY: "retrying",
        JobState.SUCCESS: "succeeded",
        JobState.FAILURE: "failed",
        JobState.REVOKED: "revoked",
        JobState.SKIPPED: "skipped",
    }
)
"""What it is called that a job has come into a state."""

WORKER_LOST = "worker_lost"


def of_job(state: JobState, job: JobRecord, worker: str | None, hide: Callable[[str], str]) -> dict[str, Any]:
    """What is said of a job that has come into a state.

    Args:
        state: Into which it came; it may be in a later one by now.
        job: As it is recorded.
        worker: Whose attempt began or ended with that; None if none did.
        hide: Takes secrets out of a text.
    """
    at = _time(state, job)
    ran = worker is not None and (state.is_final or state is JobState.RETRY)
    started_at = job.started_at if ran else None
    return {
        "time": _iso(at),
        "event": EVENTS[state],
        "job_id": job.id,
        "task": job.task,
        "state": str(job.state),
        "reason": None if job.reason is None else str(job.reason),
        "queue": job.queue,
        "group_id": job.group_id,
        "worker": worker,
        "attempt": job.attempts or None,
        "runtime": None if started_at is None else (at - started_at).total_seconds(),
        "args": job.args,
        "kwargs": job.kwargs,
        "error": None if job.error is None else _error(job.error, hide),
    }


def of_lost_worker(worker_id: str, worker: str, jobs: Sequence[str]) -> dict[str, Any]:
    """What is said of a worker that was given up.

    Args:
        worker_id: Its id.
        worker: Its name.
        jobs: Ids of the jobs that it was running.
    """
    return {
        "time": _iso(_now()),
        "event": WORKER_LOST,
        "worker": worker,
        "worker_id": worker_id,
        "jobs": list(jobs),
    }


def with_traceback(line: Mapping[str, Any], job: JobRecord, hide: Callable[[str], str]) -> dict[str, Any]:
    """A job's line with the traceback of its error beside the error's type and message."""
    if job.error is None:
        return dict(line)
    return {**line, "error": {**line["error"], "traceback": hide(job.error.traceback)}}


def as_text(line: Mapping[str, Any]) -> str:
    """In ASCII, so that nothing in it ends a line or disturbs a terminal."""
    return json.dumps(line)


def _error(error: ErrorInfo, hide: Callable[[str], str]) -> dict[str, str]:
    return {"type": error.type, "message": hide(error.message)}


def _time(state: JobState, job: JobRecord) -> datetime:
    """The store's time where the record has it."""
    if state is JobState.STARTED:
        found = job.started_at
    elif state.is_final:
        found = job.finished_at
    elif job.published_at is not None:
        found = job.published_at
    else:
        # A job that was replaced by a chain has no message, and was enqueued long before that.
        found = None if job.attempts else job.enqueued_at
    return _now() if found is None else found


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _iso(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="microseconds")
