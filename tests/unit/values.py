"""Jobs, attempts, groups and requests, as short as unit tests want them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from celery_jobtrack.model.group import GroupRecord, Totals
from celery_jobtrack.model.job import Attempt, JobRecord
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RetryRequest,
    SettleRequest,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.state import JobState, Outcome, Reason

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
WORKER = Worker(id="w1", name="celery@one", pid=11)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def origin(**changes):
    return Origin(**{"job_id": "j", "task": "shop.resize", **changes})


def enqueue_request(**changes):
    return EnqueueRequest(origin=origin(**changes), message=b"m")


def start_request(token="t1", **changes):
    return StartRequest(origin=origin(**changes), token=token, worker=WORKER)


def finish_request(outcome=Outcome.SUCCESS, token="t1", **changes):
    return FinishRequest(start=start_request(token), outcome=outcome, **changes)


def retry_request(outcome=Outcome.RETRY, token="t1", error=None, **changes):
    return RetryRequest(
        start=start_request(token), origin=origin(**{"retries": 1, **changes}), outcome=outcome, error=error
    )


def settle_request(state=JobState.REVOKED, reason=Reason.TERMINATED, retries=0, **changes):
    return SettleRequest(origin=origin(retries=retries), state=state, reason=reason, **changes)


def job(state=JobState.ENQUEUED, **changes):
    return JobRecord(**{"id": "j", "task": "shop.resize", "state": state, "published_at": NOW, **changes})


def attempt(token="t1", **changes):
    known = {
        "job_id": "j",
        "number": 1,
        "worker_id": "w1",
        "worker": "celery@one",
        "pid": 11,
        "started_at": NOW,
    }
    return Attempt(**{"token": token, **known, **changes})


def running(**changes):
    """A job with an open attempt ``t1``, and that attempt."""
    fields = {"token": "t1", "attempts": 1, "started_at": NOW, **changes}
    return job(JobState.STARTED, **fields), attempt(retries=fields.get("retries", 0))


def group(total=0, **changes):
    """A standing group with ``total`` members; ``succeeded=`` and so on are its counters."""
    counters = {name: changes.pop(name, 0) for name in ("succeeded", "failed", "revoked", "skipped")}
    totals = Totals(total=total, **counters)
    return GroupRecord(**{"id": "g", "title": "G", "created_at": NOW, "totals": totals, **changes})


def batch(total=0, **changes):
    return group(total, **{"standing": False, **changes})
