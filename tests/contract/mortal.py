"""Processes that die at a chosen step, and the firm that goes on without them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import Settings
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, Origin, StartRequest, Worker
from celery_jobtrack.model.state import CallbackKind, Outcome
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing import Clock

NEVER = 1_000_000


class Died(BaseException):
    """The process is killed: no handler of an error may see it as one."""


class Life:
    """So many steps are left."""

    def __init__(self, steps_left: int) -> None:
        self.left = steps_left
        self.taken = 0

    def step(self) -> None:
        if self.taken >= self.left:
            raise Died
        self.taken += 1


class MortalStore:
    """A store whose every call is a step of a life."""

    def __init__(self, store: Store, life: Life) -> None:
        vars(self).update(_store=store, _life=life)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found) or name in {"now", "delivers"}:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._life.step()
            return found(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._store, name, value)


class FirmPorts(RememberingPorts):
    """Sending is a step, too."""

    def __init__(self, firm: Firm, life: Life) -> None:
        super().__init__()
        self._firm = firm
        self._life = life

    def _send(self, kind: str, origin: Origin) -> None:
        self._life.step()
        self._firm.broker.append(origin)
        self._firm.sent[origin.job_id] = origin

    def publish_again(self, job: Any, message: bytes) -> None:
        self._firm.broker.append(replace(self._firm.sent[job.id], run=job.run))

    def queue_is_empty(self, queue: str) -> bool:
        return not self._firm.broker


class Firm:
    """A store, a broker, and processes that come and go."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.broker: list[Origin] = []
        self.sent: dict[str, Origin] = {}
        self.runs: Counter[str] = Counter()
        self._workers = 0

    def process(self, life: Life) -> Process:
        self._workers += 1
        worker = Worker(id=f"worker-{self._workers}", name=f"w{self._workers}@firm", pid=self._workers)
        return Process(self, life, worker)

    def batch(self, group_id: str, *kinds: CallbackKind, parent_id: str | None = None) -> GroupRecord:
        callbacks = tuple(
            Callback(kind=kind, number=0, task=f"{group_id}-{kind}", signature="") for kind in kinds
        )
        about = {"standing": False, "callbacks": callbacks, "parent_id": parent_id}
        group = steps.group(self.store, group_id, cancels_on_failure=True, **about)
        if parent_id is not None:
            origin = Origin(job_id=group_id, task=GROUP_TASK, group_id=parent_id)
            self.store.enqueue(EnqueueRequest(origin=origin, published=False))
        return group

    def recover(self, group_id: str) -> None:
        """Other processes go on until the group is closed."""
        healthy = self.process(Life(NEVER))
        for _ in range(100):
            self.clock.advance(10)
            healthy.check()
            healthy.work()
            if self.store.group(group_id).closed_at is not None:
                return
        raise AssertionError(f"not closed: {self.store.group(group_id)}")


class Process:
    """One worker process with its tracker and a checker."""

    def __init__(self, firm: Firm, life: Life, worker: Worker) -> None:
        self._firm = firm
        self.worker = worker
        firm.store.register_worker(worker, 45)
        ports = FirmPorts(firm, life)
        self.tracker = Tracker(MortalStore(firm.store, life), ports)
        ports.tracker = self.tracker
        self._checker = Checker(self.tracker, Settings())

    def check(self) -> None:
        self._firm.store.heartbeat(self.worker, 45)
        self._checker.tick()
        self._checker.hand_over()

    def work(self) -> None:
        """Run every message that is in the broker."""
        while self._firm.broker:
            self.run(self._firm.broker.pop(0))

    def run(self, origin: Origin, outcome: Outcome = Outcome.SUCCESS) -> None:
        self.finish(self.start(origin), outcome)

    def start(self, origin: Origin) -> StartRequest | None:
        self._firm.runs["messages"] += 1
        token = f"{origin.job_id}-{self._firm.runs['messages']}"
        request = StartRequest(origin=origin, token=token, worker=self.worker)
        if not self.tracker.start(request).admitted:
            return None
        self._firm.runs[origin.task] += 1
        return request

    def finish(self, request: StartRequest | None, outcome: Outcome = Outcome.SUCCESS) -> None:
        if request is not None:
            self.tracker.finish(FinishRequest(start=request, outcome=outcome))

    def die(self) -> None:
        """Its lease ends."""
        self._firm.store.stop_worker(self.worker.id)
