"""A tracker over the memory store, with a clock to move and ports that remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from celery_jobtrack.config import Settings
from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    SettleRequest,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.retention import Retentions
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.tracker import Tracker

WORKER = Worker(id="w1", name="celery@host", pid=1)


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class RememberingPorts:
    delivers: bool = True
    empty: bool | None = False
    strategies: tuple[Any, ...] = ()
    requested: int = 0
    held: frozenset[str] = frozenset()
    depth: int | None = None
    consumed: dict[str, frozenset[str]] = field(default_factory=dict)
    spooled: int = 0
    published: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    sender: str = "jobtrack"
    namespace: str = "default"
    broker_error: Exception | None = None
    callbacks: list[tuple[str, str]] = field(default_factory=list)
    """The kind and the id of every callback that was sent."""
    kept: Retentions = field(default_factory=Retentions)
    tracker: Any = None
    """Set by the world: what sending records."""

    def strategies_for(self, task):
        return self.strategies

    def retentions(self):
        return self.kept

    def group_for(self, record):
        return record

    def delivers_here(self):
        return self.delivers

    def request_delivery(self):
        self.requested += 1

    def nothing_kept(self):
        return self.spooled == 0

    def publish_again(self, job, message):
        self.published.append(job.id)

    def publish_callback(self, group, callback, job_id, *, run=1):
        if isinstance(self.broker_error, ValueError):
            raise self.broker_error
        origin = Origin(job_id=job_id, task=callback.task, queue="q", run=run, callback_of=group.id)
        self.tracker.enqueue(EnqueueRequest(origin=origin, message=b"kept"))
        self._send(str(callback.kind), origin)

    def _send(self, kind, origin):
        if self.broker_error is not None:
            request = SettleRequest(origin=origin, state=JobState.FAILURE, reason=Reason.PUBLISH_FAILED)
            self.tracker.settle(request, tell=False)
            raise self.broker_error
        self.callbacks.append((kind, origin.job_id))

    def followers(self, message):
        return ()

    def queue_is_empty(self, queue):
        return self.empty

    def queue_depth(self, queue):
        return self.depth

    def consumed_queues(self):
        if self.broker_error is not None:
            raise self.broker_error
        return self.consumed

    def held_by_workers(self):
        return self.held

    def tell_backend(self, job, message):
        self.told.append((job.id, str(job.state)))


class World:
    """Everything that a test of tracking needs, in one place."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.runs = 0
        self.store = MemoryStore(clock=self.clock)
        self.ports = RememberingPorts()
        self.tracker = Tracker(self.store, self.ports)
        self.ports.tracker = self.tracker
        self.settings = Settings(**settings)
        self.checker = Checker(self.tracker, self.settings)
        self.store.register_worker(WORKER, 45)

    def group(self, **about: Any) -> GroupRecord:
        about = {"id": "g", "title": "G", "created_at": datetime.now(timezone.utc), **about}
        return self.store.create_group(GroupRecord(**about))

    def enqueue(self, job_id: str, *, message: bytes | None = b"kept", **origin: Any) -> None:
        origin = {"task": "t", "queue": "q", **origin}
        self.tracker.enqueue(EnqueueRequest(origin=Origin(job_id=job_id, **origin), message=message))

    def origin(self, job_id: str, **more: Any) -> Origin:
        return Origin(**{"job_id": job_id, "task": "t", "queue": "q", **more})

    def start_request(
        self,
        job_id: str,
        *,
        worker: Worker = WORKER,
        reruns: bool = False,
        token: str | None = None,
        **origin: Any,
    ) -> StartRequest:
        return StartRequest(
            origin=self.origin(job_id, **origin),
            token=token or f"token-{job_id}",
            worker=worker,
            reruns=reruns,
        )

    def start(self, job_id: str, *, worker: Worker = WORKER, **origin: Any) -> StartRequest:
        request = self.start_request(job_id, worker=worker, **origin)
        self.last = self.tracker.start(request)
        return request

    def die(self, worker: Worker) -> None:
        """A worker is gone, and its lease has ended; others were heard all the while."""
        self.store.stop_worker(worker.id)

    def finish(self, request: StartRequest, outcome: Outcome = Outcome.SUCCESS) -> None:
        self.tracker.finish(FinishRequest(start=request, outcome=outcome))

    def run(self, job_id: str) -> None:
        self.runs += 1
        request = self.start_request(job_id, token=f"run-{self.runs}")
        self.tracker.start(request)
        self.finish(request)

    def state(self, job_id: str) -> str:
        return str(self.store.job(job_id).state)
