"""What a worker's pool is running, as far as the worker's main process can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.worker import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.job import Attempt


class PoolWatch:
    """Tells attempts that run from those that were left open.

    A pool of processes is asked for its processes, each of which runs one job at a time. What Celery
    believes to be active is no help there: it is what misses a killed child. A pool inside of the
    worker's own process has nobody who could die unseen, so there what is active counts.

    Args:
        worker: Celery's worker, once its pool is made.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def is_running(self, attempt: Attempt, opened: Sequence[Attempt]) -> bool:
        """Whether an attempt runs, given all that this worker has open."""
        processes = self._processes()
        if processes is None:
            return attempt.job_id in _active()
        later = (a for a in opened if a.pid == attempt.pid and a.started_at > attempt.started_at)
        return attempt.pid in processes and not any(later)

    def _processes(self) -> frozenset[int] | None:
        """The pool's processes; None where it has none of its own."""
        info = getattr(self._worker.pool, "info", None) or {}
        processes = info.get("processes")
        return None if not processes or self._worker.pool.is_green else frozenset(processes)


def _active() -> set[str]:
    # Another thread may add to the set while it is copied.
    for _ in range(10):
        try:
            return {request.id for request in [*state.active_requests, *state.reserved_requests]}
        except RuntimeError:
            continue
    return {request.id for request in [*state.active_requests, *state.reserved_requests]}
