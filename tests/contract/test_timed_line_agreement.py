"""Random operations on keys that time moves, and at a gate.

Every store does what the algorithm over rows does in memory.

The clock stands still between two moves, or two stores that are asked one after the other would not agree.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.halt import HaltKind, gate_of
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from celery_jobtrack.strategies.memory import MemoryStore
from tests.contract.backends import NAMES
from tests.contract.test_lock_agreement import CONFLICTS, WEIGHTS, Shop

if TYPE_CHECKING:
    from tests.contract.backends import Backend

KINDS = {
    "alike": Kind.UNIQUE,
    "clock": Kind.CLOCK,
    "leased": Kind.SLOTS,
    "queue": Kind.QUEUE,
    "starts": Kind.RATE,
}
LOW = {"queue": "low"}
GATE = gate_of(HaltKind.QUEUE, "low")
STEP = 2.4
"""Seconds by which the clock is moved. Neither a call nor a lease lasts a whole number of steps, nor do a few
starts of a rate: asking takes some time, and nothing may hang on that."""
INTERVALS = [8.1, 65 / 7]
"""The latter is no whole number of microseconds."""
RUNS = {"redis": 40, "redis-cluster": 10}
JOBS = 24
STEPS = 120
MORE_WEIGHTS = WEIGHTS | {
    "enqueue": 8, "many": 0.3, "due": 6, "unpark": 8, "finish": 5, "start": 10, "halt": 4, "lift": 3,
}  # fmt: skip
NEAR = 0.25
"""Seconds that asking may take."""


class StandingClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = time.time()

    def time(self) -> float:
        return self._now

    def offset(self) -> float:
        return self._now - time.time()

    def advance(self, seconds: float) -> None:
        self._now += seconds


class TimedShop(Shop):
    """One whose jobs claim keys of all kinds."""

    def claims(self, picked: Any) -> tuple[Claim, ...]:
        return tuple(
            Claim(
                key=key,
                kind=KINDS[key],
                at=None if at is None else self.begin + timedelta(seconds=at),
                **about,
            )
            for key, (at, about) in picked.items()
        )

    def do(self, name: str, pick: int) -> Any:
        if name == "due":
            due = sorted(key for key, _ in self.store.due_keys(self.store.now(), 10))
            return [(key, list(self.store.call_due(key))) for key in due]
        if name == "halt":
            return self.store.halt(HaltKind.QUEUE, "low")
        if name == "lift":
            lifted = self.store.lift(HaltKind.QUEUE, "low")
            return lifted.applied, list(lifted.called)
        return super().do(name, pick)

    def state(self) -> Any:
        more = {}
        for key in self.keys:
            for place in self.store.places(key, 50):
                more[key, place.job_id] = place.until_start, place.until is None, place.priority
            lock = self.store.lock(key)
            if lock is not None and (lock.taken or lock.waiting):
                more[key, ""] = lock.kind, lock.due_at is None
        return super().state(), more

    def times(self) -> list[float]:
        """When what ends, or is due."""
        found = []
        for key in self.keys:
            places = sorted(self.store.places(key, 50), key=lambda place: place.job_id)
            lock = self.store.lock(key)
            at = [place.until for place in places] + [place.recorded_at for place in places]
            at += [lock.due_at, lock.next_at] if lock is not None and places else []
            found += [(moment - self.begin).total_seconds() for moment in at if moment is not None]
        return found


def between_steps(chance: Random, first: int, last: int) -> float:
    """Seconds."""
    return STEP * (chance.randrange(first, last) + 0.5)


def some_job(chance: Random) -> Any:
    """What a job claims, and what else its message says."""
    claims = {}
    for key, kind in KINDS.items():
        if chance.random() < 0.35:
            about: dict[str, Any] = {
                "on_conflict": chance.choice(CONFLICTS) if kind is not Kind.CLOCK else OnConflict.WAIT,
                # Who passes a clock need not write it.
                "limit": 1 if kind is Kind.CLOCK else chance.choice([1, 1, 2]),
                "across_retries": chance.random() < 0.7,
                "until_start": kind is not Kind.SLOTS and chance.random() < 0.6,
            }
            if kind in {Kind.SLOTS, Kind.UNIQUE} and chance.random() < 0.6:
                about["lease"] = between_steps(chance, 3, 15)
            if kind is Kind.RATE:
                about["interval"] = chance.choice(INTERVALS)
            timed = kind is Kind.CLOCK or (kind is Kind.QUEUE and chance.random() < 0.7)
            claims[key] = between_steps(chance, 0, 90) if timed else None, about
    about = {
        "priority": chance.randrange(10),
        "group_id": "g",
        "expires_in": between_steps(chance, 20, 90),
        "eta_in": between_steps(chance, 1, 10),
    }
    said = {name: value for name, value in about.items() if chance.random() < 0.25}
    return claims, said | (LOW if chance.random() < 0.7 else {})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", [name for name in NAMES if name != "memory-frozen"], indirect=True)
def test_lines_that_time_moves_agree_with_those_in_memory(backend: Backend) -> None:
    called, lifted, runs = 0, 0, RUNS.get(backend.name, 10)
    for seed in range(runs):
        chance, clock = Random(seed), StandingClock()
        jobs = [some_job(chance) for _ in range(JOBS)]
        with backend.fresh(clock) as store:
            here, there = (
                TimedShop(its, jobs, [*KINDS, GATE]) for its in (store, MemoryStore(clock=clock.time))
            )
            there.begin = here.begin = datetime.fromtimestamp(clock.time(), timezone.utc)
            for step in range(STEPS):
                (name,) = chance.choices(list(MORE_WEIGHTS), list(MORE_WEIGHTS.values()))
                pick = chance.randrange(JOBS)
                clock.advance(STEP)
                what = f"{name} {pick}, step {step} of run {seed}"
                done = here.do(name, pick)
                assert done == there.do(name, pick), what
                assert here.state() == there.state(), what
                assert here.times() == pytest.approx(there.times(), abs=NEAR), what
                called += sum(len(ids) for _, ids in done) if name == "due" else 0
                lifted += len(done[1]) if name == "lift" else 0
            assert store.faults().faults == ()
    # Or it would have looked at lines that nothing moves.
    assert called > runs
    assert lifted > runs
