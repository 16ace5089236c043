"""Workers, their leases, and what they left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.group_records import load_worker
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id
from celery_jobtrack.strategies.redis.job_records import load_last_attempt
from celery_jobtrack.strategies.redis.packing import microseconds, the_moment, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.job import Attempt
    from celery_jobtrack.model.requests import Worker, WorkerRecord


class WorkerOperations(RedisBase):
    """Register, hear of, and give up workers."""

    def register_worker(self, worker: Worker, lease: float) -> None:
        self._keep(worker, lease, b"1")

    def heartbeat(self, worker: Worker, lease: float) -> None:
        self._keep(worker, lease, b"0")

    def stop_worker(self, worker_id: str) -> None:
        self._run("stop_worker", pack_id(worker_id))

    def workers(self, *, alive: bool = True) -> Sequence[WorkerRecord]:
        time, *parts = self._ask("list_workers")
        now = the_moment(time)
        found = [load_worker(parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
        return sorted(
            (worker for worker in found if not alive or worker.is_alive(now)), key=lambda worker: worker.name
        )

    def lost_attempts(self, limit: int) -> Sequence[Attempt]:
        return _attempts(self._ask("lost_attempts", b"%d" % limit))

    def open_attempts(self, worker_id: str, limit: int) -> Sequence[Attempt]:
        return _attempts(self._ask("open_attempts", pack_id(worker_id), b"%d" % limit))

    def _keep(self, worker: Worker, lease: float, anew: bytes) -> None:
        self._run(
            "keep_worker",
            pack_id(worker.id),
            pack_name(worker.name),
            b"%d" % whole(worker.pid),
            microseconds(lease),
            anew,
        )


def _attempts(found: list[Any]) -> list[Attempt]:
    attempts = (load_last_attempt(unpack_id(found[at]), found[at + 1]) for at in range(0, len(found), 2))
    return [attempt for attempt in attempts if attempt is not None]
