"""Random operations on keys: every store does what the algorithm over rows does in memory."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.fault import FaultKind
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.lock import Claim, Kind, OnConflict, Standing
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
    from datetime import datetime

    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

SLOTS = ["a", "b"]
TIMED = {
    "deadlines": Kind.QUEUE,
    "rate": Kind.RATE,
    "unique": Kind.UNIQUE,
    "when": Kind.CLOCK,
}
KEYS = [*SLOTS, *TIMED]
RUNS = {"redis": 80, "redis-cluster": 20}
CONFLICTS = [OnConflict.WAIT] * 4 + [OnConflict.LATEST, OnConflict.LATEST, OnConflict.SKIP, OnConflict.RAISE]
JOBS = 12
STEPS = 80
TICK = 1000.0
"""Seconds by which the clock is moved. What jobs say of times lies between two ticks: one store may be asked
a moment before the other."""
WEIGHTS = {
    "enqueue": 4, "many": 1, "start": 8, "again": 1, "finish": 3, "fail": 1, "retry": 2, "lose": 1, "late": 1,
    "cancel": 1, "unpark": 5, "supersede": 1, "redrive": 1, "release": 1, "due": 5,
}  # fmt: skip


def some_job(chance: Random) -> Any:
    """What a job claims, and what else its message says; times by the tick."""
    claims = [some_claim(chance, key, Kind.SLOTS) for key in SLOTS if chance.random() < 0.6]
    if chance.random() < 0.6:
        key = chance.choice(list(TIMED))
        claims = [*claims[: chance.choice([0, 0, 1])], some_claim(chance, key, TIMED[key])]
    about = {
        "priority": chance.randrange(10),
        "group_id": "g",
        "expires_in": chance.randrange(5, 60) + 0.5,
        "eta_in": chance.randrange(1, 10) + 0.5,
    }
    return claims, {name: value for name, value in about.items() if chance.random() < 0.25}


def some_claim(chance: Random, key: str, kind: Kind) -> dict[str, Any]:
    """A claim by its fields, with ``at_in`` for ``at``."""
    claim: dict[str, Any] = {
        "key": key,
        "kind": kind,
        "on_conflict": chance.choice(CONFLICTS),
        "limit": chance.choice([1, 1, 2]),
        "across_retries": chance.random() < 0.7,
        "until_start": kind in {Kind.QUEUE, Kind.CLOCK} or (kind is Kind.UNIQUE and chance.random() < 0.5),
    }
    if kind in {Kind.SLOTS, Kind.UNIQUE} and chance.random() < 0.3:
        claim["lease"] = 3.5 * TICK
    if kind is Kind.RATE:
        claim["interval"] = chance.choice([2.37, 4.61]) * TICK
    if kind in {Kind.QUEUE, Kind.CLOCK}:
        claim["at_in"] = chance.randrange(40) + 0.5
        claim["on_conflict"] = OnConflict.WAIT
    return claim


class Shop:
    """One store, and what its publishers and workers do there."""

    def __init__(self, store: Store, jobs: list[Any]) -> None:
        self.store = store
        self.jobs = jobs
        self.begin = store.now()
        self.tokens: list[tuple[str, str]] = []
        self.fences: dict[str, int] = {}
        batch(store, "g")

    def origin(self, number: int) -> dict[str, Any]:
        claims, about = self.jobs[number]
        about = dict(about)
        for name, field in (("expires_in", "expires_at"), ("eta_in", "eta")):
            if name in about:
                about[field] = self._moment(about.pop(name))
        return about | {"claims": tuple(self._claim(dict(claim)) for claim in claims)}

    def _claim(self, claim: dict[str, Any]) -> Claim:
        at = claim.pop("at_in", None)
        return Claim(**claim, at=None if at is None else self._moment(at))

    def _moment(self, ticks: float) -> datetime:
        return self.begin + timedelta(seconds=ticks * TICK)

    def _ticks(self, moment: datetime | None) -> float | None:
        return None if moment is None else round((moment - self.begin).total_seconds() / TICK, 1)

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
        if name == "due":
            due = sorted(key for key, _ in self.store.due_keys(self.store.now(), 50))
            return [(key, sorted(self.store.call_due(key))) for key in due or KEYS[pick % len(KEYS) :][:1]]
        if name == "release":
            return self._release(KEYS[pick % len(KEYS)])
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
        for key in KEYS:
            lock, places = self.store.lock(key), self.store.places(key, 50)
            taken = sorted(
                (p.job_id, p.standing, p.fence is None, p.across_retries, p.until_start, self._ticks(p.until))
                for p in places
                if p.takes
            )
            line = [p.job_id for p in places if p.standing is Standing.WAITING]
            over = sorted(p.job_id for p in places if p.standing is Standing.SUPERSEDED)
            # A key at which nobody stood yet is recorded by some stores and not by others.
            numbers = None
            if lock is not None and (places or lock.rejected):
                numbers = (
                    lock.kind, lock.limit, lock.interval, lock.taken, lock.waiting, lock.rejected,
                    self._ticks(lock.next_at), self._ticks(lock.due_at),
                )  # fmt: skip
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
    for seed in range(RUNS.get(backend.name, 12)):
        chance, clock = Random(seed), Clock()
        jobs = [some_job(chance) for _ in range(JOBS)]
        with backend.fresh(clock) as store:
            here, there = Shop(store, jobs), Shop(MemoryStore(clock=clock.time), jobs)
            for step in range(STEPS):
                (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
                pick = chance.randrange(JOBS)
                clock.advance(chance.choice([0, 1, 1]) * TICK)
                what = f"{name} {pick}, step {step} of run {seed}"
                assert here.do(name, pick) == there.do(name, pick), what
                assert here.state() == there.state(), what
            # Nobody here delivers events.
            faults = [fault for fault in store.faults().faults if fault.kind is not FaultKind.UNDELIVERED]
            assert faults == []
