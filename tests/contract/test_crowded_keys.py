"""Many threads at one key that nobody has claimed before."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.job import Progress
from celery_jobtrack.model.lock import Claim
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.threads import Crowd
from tests.contract.backends import ROW_NAMES

if TYPE_CHECKING:
    from celery_jobtrack.strategies.row import RowStore
    from tests.contract.backends import Backend

THREADS = 8
JOBS = 6


class Room:
    """Those who are inside at the same moment, and all who ever were, with their fences."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: set[str] = set()
        self.most = 0
        self.fences: dict[str, int] = {}

    def enter(self, job_id: str, fence: int) -> None:
        with self._lock:
            self._inside.add(job_id)
            self.most = max(self.most, len(self._inside))
            assert job_id not in self.fences
            self.fences[job_id] = fence

    def leave(self, job_id: str) -> None:
        with self._lock:
            self._inside.remove(job_id)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)
def test_crowd_at_a_new_key_runs_whole_and_never_too_many_at_once(backend: Backend, limit: int) -> None:
    about: dict[str, Any] = {"claims": (Claim(key="k", limit=limit),)}
    room = Room()

    def run(store: RowStore, job_id: str) -> None:
        """Run a job as far as it comes, and then whoever is called because of it."""
        result = steps.start(store, job_id, f"t-{job_id}-{threading.get_ident()}", **about)
        if not result.admitted:
            return
        assert result.attempt is not None
        room.enter(job_id, dict(result.fences)["k"])
        # Time enough for somebody else to come in.
        assert store.record_progress(job_id, result.attempt.token, Progress(current=1))
        room.leave(job_id)
        ended = steps.finish(store, job_id, result.attempt.token, **about)
        assert ended.applied
        for called in ended.called:
            assert store.unpark(called).applied
            run(store, called)

    with backend.fresh(Clock()) as store, Crowd(THREADS) as crowd:

        def live(thread: int) -> None:
            for number in range(JOBS):
                job_id = f"{thread}-{number}"
                if not steps.enqueue(store, job_id, **about).held_back:
                    run(store, job_id)

        crowd.together(live)
        assert len(room.fences) == THREADS * JOBS
        assert len(set(room.fences.values())) == THREADS * JOBS
        assert room.most <= limit
        lock = store.lock("k")
        assert lock is not None
        assert lock.is_idle
        assert store.places("k", 10) == []
