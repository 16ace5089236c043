"""Random operations on keys: every store does what the algorithm over rows does in memory."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.lock import Claim, OnConflict, Standing
from celery_jobtrack.model.requests import RequeueRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.testing import Clock
from celery_jobtrack.testing.steps import (
    batch,
    enqueue,
    enqueue_many,
    finish,
    redrive,
    retry,
    settle,
    start,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

KEYS = ["a", "b"]
RUNS = {"redis": 80, "redis-cluster": 20}
CONFLICTS = [OnConflict.WAIT] * 4 + [OnConflict.LATEST, OnConflict.LATEST, OnConflict.SKIP, OnConflict.RAISE]
JOBS = 12
STEPS = 60
WEIGHTS = {
    "enqueue": 4, "many": 1, "start": 8, "again": 1, "finish": 3, "fail": 1, "retry": 2, "lose": 1, "late": 1,
    "cancel": 1, "unpark": 5, "supersede": 1, "redrive": 1, "release": 1,
}  # fmt: skip


def some_job(chance: Random) -> Any:
    """What a job claims, and what else its message says."""
    most = [key for key in KEYS if chance.random() < 0.6]
    claims = {
        key: (chance.choice(CONFLICTS), chance.choice([1, 1, 2]), chance.random() < 0.7) for key in most
    }
    about = {
        "priority": chance.randrange(10),
        "group_id": "g",
        # Between two steps, each of which takes a second: one store may be asked a moment before the other.
        "expires_in": chance.randrange(5, 60) + 0.5,
        "eta_in": chance.randrange(1, 10) + 0.5,
    }
    return claims, {name: value for name, value in about.items() if chance.random() < 0.25}


class Shop:
    """One store, and what its publishers and workers do there."""

    def __init__(self, store: Store, jobs: list[Any], keys: list[str]) -> None:
        self.store = store
        self.jobs = jobs
        self.keys = keys
        self.begin = store.now()
        self.tokens: list[tuple[str, str]] = []
        self.fences: dict[str, int] = {}
        batch(store, "g")

    def origin(self, number: int) -> dict[str, Any]:
        claims, about = self.jobs[number]
        about = dict(about)
        for name, field in (("expires_in", "expires_at"), ("eta_in", "eta")):
            if name in about:
                about[field] = self.begin + timedelta(seconds=about.pop(name))
        return about | {"claims": self.claims(claims)}

    def claims(self, picked: Any) -> tuple[Claim, ...]:
        return tuple(
            Claim(key=key, on_conflict=conflict, limit=limit, across_retries=across)
            for key, (conflict, limit, across) in picked.items()
        )

    def do(self, name: str, pick: int) -> Any:
        """Do it, and say what came of it in words that are the same for every store."""
        number = pick % len(self.jobs)
        if name == "enqueue":
            return self._enqueue(f"j{number}", self.origin(number))
        if name == "many":
            return [made.created for made in enqueue_many(self.store, [f"j{number}"], **self.origin(number))]
        if name == "start":
            # When somebody came who was recorded by a start, and parked at a later one, stores may differ.
            if self.store.job(f"j{number}") is None:
                return self._enqueue(f"j{number}", self.origin(number))
            self.tokens.append((f"j{number}", f"t{len(self.tokens)}"))
            return self._start(*self.tokens[-1])
        if name == "late" and self.tokens:
            return self._finish(*self.tokens[pick % len(self.tokens)])
        if name in {"again", "finish", "fail", "retry", "lose"}:
            return self._do_with_open(name, pick)
        return self._do_from_outside(name, pick, f"j{number}")

    def _do_with_open(self, name: str, pick: int) -> Any:
        opened = [(its, token) for its, token in self.tokens if self._token_of(its) == token]
        if not opened:
            return None
        job_id, token = opened[pick % len(opened)]
        if name == "again":
            return self._start(job_id, token)
        if name == "retry":
            retries = the_job(self.store, job_id).retries + 1
            return _said(retry(self.store, job_id, token, retries, **self.origin(int(job_id[1:]))))
        if name == "lose":
            lost = ErrorInfo(type="WorkerLost", message="gone")
            return _said(self.store.requeue_lost(RequeueRequest(job_id=job_id, token=token, error=lost)))
        return self._finish(job_id, token, Outcome.SUCCESS if name == "finish" else Outcome.FAILURE)

    def _do_from_outside(self, name: str, pick: int, job_id: str) -> Any:
        if name == "unpark":
            called = sorted(self.store.called_jobs(10))
            return _said(self.store.unpark(called[pick % len(called)] if called else job_id))
        if name == "supersede":
            return [self._supersede(its) for its in sorted(self.store.superseded_jobs(10))]
        if name == "release":
            return self._release(self.keys[pick % len(self.keys)])
        if self.store.job(job_id) is None:
            return None
        if name == "cancel":
            return _said(self.store.request_cancel(job_id))
        return redrive(self.store, job_id).applied if name == "redrive" else None

    def _token_of(self, job_id: str) -> str | None:
        job = self.store.job(job_id)
        return None if job is None else job.token

    def _enqueue(self, job_id: str, about: dict[str, Any]) -> Any:
        try:
            result = enqueue(self.store, job_id, **about)
        except Overlapping as error:
            return error.key, error.holder_id
        return result.created, result.held_back, sorted(result.superseded), _kinds(result)

    def _start(self, job_id: str, token: str) -> Any:
        job = self.store.job(job_id)
        more = {} if job is None else {"retries": job.retries, "run": job.run}
        is_again = job is not None and job.token == token
        started = start(self.store, job_id, token, **self.origin(int(job_id[1:])), **more)
        for key, fence in started.fences:
            assert fence > self.fences.get(key, 0) or is_again, "a fence went back"
            self.fences[key] = max(fence, self.fences.get(key, 0))
        return (
            started.refusal,
            started.settled,
            sorted(key for key, _ in started.fences),
            sorted(started.called),
            sorted(started.superseded),
            _kinds(started),
        )

    def _finish(self, job_id: str, token: str, outcome: Outcome = Outcome.SUCCESS) -> Any:
        return _said(finish(self.store, job_id, token, outcome, **self.origin(int(job_id[1:]))))

    def _supersede(self, job_id: str) -> Any:
        guards = {"record_unknown": False}
        return _said(settle(self.store, job_id, JobState.SKIPPED, Reason.OVERLAP, guards=guards))

    def _release(self, key: str) -> Any:
        # Who was called and is still in the line: stores differ in whether it stays called.
        for place in self.store.places(key, 50):
            if place.standing is Standing.CALLED and place.job_id in self.store.called_jobs(50):
                return None
        return sorted(self.store.release_lock(key))

    def state(self) -> Any:
        """All that is recorded of jobs, keys and places."""
        jobs = {}
        for number in range(len(self.jobs)):
            job = self.store.job(f"j{number}")
            if job is not None:
                jobs[job.id] = (
                    job.state, job.reason, job.keyed, job.waits_for, job.blocked_by, job.attempts, job.run,
                    job.published_at is None, job.finished_at is None, job.generation,
                )  # fmt: skip
        locks = {}
        for key in self.keys:
            lock, places = self.store.lock(key), self.store.places(key, 50)
            taken = sorted(
                (p.job_id, p.standing, p.fence is None, p.across_retries) for p in places if p.takes
            )
            line = [p.job_id for p in places if p.standing is Standing.WAITING]
            over = sorted(p.job_id for p in places if p.standing is Standing.SUPERSEDED)
            # A key at which nobody stood yet is recorded by some stores and not by others.
            numbers = None
            if lock is not None and (places or lock.rejected):
                numbers = lock.limit, lock.taken, lock.waiting, lock.rejected
            locks[key] = taken, line, over, numbers
        status = self.store.group_status("g")
        assert status is not None
        group = status.enqueued, status.started, status.retrying, status.waiting, status.outstanding
        return jobs, locks, group, sorted(self.store.called_jobs(50)), sorted(self.store.superseded_jobs(50))


def _kinds(result: Any) -> Counter[Any]:
    return Counter(event.kind for event in result.events)


def _said(result: Any) -> Any:
    return result.applied, sorted(result.called), _kinds(result)


@pytest.mark.timeout(600)
def test_locks_agree_with_those_in_memory(backend: Backend) -> None:
    for seed in range(RUNS.get(backend.name, 20)):
        chance, clock = Random(seed), Clock()
        jobs = [some_job(chance) for _ in range(JOBS)]
        with backend.fresh(clock) as store:
            here, there = (Shop(its, jobs, KEYS) for its in (store, MemoryStore(clock=clock.time)))
            for step in range(STEPS):
                (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
                pick = chance.randrange(JOBS)
                clock.advance(1)
                what = f"{name} {pick}, step {step} of run {seed}"
                assert here.do(name, pick) == there.do(name, pick), what
                assert here.state() == there.state(), what
            assert store.faults().faults == ()
