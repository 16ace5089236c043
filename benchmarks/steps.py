"""The calls that a job's life makes, with arguments as a real one has them."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, Origin, StartRequest, Worker
from celery_jobtrack.model.state import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.strategies.contract import Store

WORKER = Worker(id=uuid.uuid4().hex, name="celery@benchmarks", pid=1)
MESSAGE = bytes(400)
"""As long as that of a job with two small arguments."""
SOME_TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""The store puts its own in its place."""
ERROR = ErrorInfo(type="ValueError", message="not a picture", traceback="Traceback: " + 400 * ".")


def origins(count: int, **more: Any) -> list[Origin]:
    """New jobs."""
    common: dict[str, Any] = {"task": "shop.resize", "queue": "celery", **more}
    return [Origin(job_id=str(uuid.uuid4()), **common) for _ in range(count)]


def enqueue_requests(jobs: Sequence[Origin]) -> list[EnqueueRequest]:
    return [EnqueueRequest(origin=job, message=MESSAGE) for job in jobs]


def start_requests(jobs: Sequence[Origin], worker: Worker = WORKER) -> list[StartRequest]:
    return [StartRequest(origin=job, token=uuid.uuid4().hex, worker=worker) for job in jobs]


def finish_request(start: StartRequest, *, succeeds: bool = True) -> FinishRequest:
    if succeeds:
        return FinishRequest(start=start, outcome=Outcome.SUCCESS)
    return FinishRequest(start=start, outcome=Outcome.FAILURE, reason=Reason.ERROR, error=ERROR)


def new_group(title: str) -> GroupRecord:
    return GroupRecord(id=str(uuid.uuid4()), title=title, created_at=SOME_TIME)


def deliver(store: Store, events: Sequence[EventRecord]) -> None:
    """Acknowledge events and what follows them, as a process without listeners does."""
    waiting = list(events)
    while waiting:
        waiting += store.acknowledge_event(waiting.pop(0).id, store.claimant)
