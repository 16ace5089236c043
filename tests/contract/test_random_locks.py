"""Random jobs at a few keys: what must hold at every key after each step, whatever was done.

``test_random_runs.py`` compares jobs and groups with a model; this knows of locks what users rely on.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.lock import Claim, Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal, RequeueRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing import Clock, steps
from tests.contract.backends import ROW_NAMES

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.lock import Place
    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

LIMITS = {"one": 1, "One": 1, "three": 3}
RATE, CLOCK, QUEUE, UNIQUE = "rate", "clock", "queue", "unique"
KEYS = [*LIMITS, RATE, CLOCK, QUEUE, UNIQUE]
INTERVAL = 5.0
BURST, AHEAD = 2, 2
STEPS = 150
SEEDS = {"memory": 30, "memory-frozen": 10, "sqlite": 4, "postgresql": 3, "mariadb": 3}
OUTCOMES = [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.REQUEUED]


class LockRun:
    """Does things to jobs, and looks at every key after each."""

    def __init__(self, store: Store, clock: Clock, seed: int) -> None:
        self.store = store
        self.clock = clock
        self.random = Random(seed)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, tuple[str, int]] = {}
        """The job and the retries of every attempt that was admitted: no other body runs."""
        self.open: dict[str, dict[str, int]] = {}
        """The fences of the attempts that were admitted and have not ended, by token."""
        self.fences = dict.fromkeys(LIMITS, 0)
        self.released: set[tuple[str, str]] = set()
        self.starts = self.parked = self.called = 0
        self.passed: list[datetime] = []
        """When somebody started whom the rate let through."""
        self.came: set[str] = set()
        """The jobs that have come to a worker, though some were parked there."""

    def step(self) -> None:
        before = {key: self._line(key) for key in KEYS}
        doing = self.random.choices(
            [
                self.enqueue, self.start, self.finish, self.retry, self.lose, self.cancel, self.release,
                self.wait,
            ],
            [5, 7, 3, 1, 0.5, 0.5, 0.3, 1],
        )[0]  # fmt: skip
        self._called_in_order(before, doing(), is_told=doing != self.enqueue)
        if self.random.random() < 0.8:
            self.move_who_was_called()
        self.clock.advance(self.random.choice([0, 1]))
        self.everything_holds()

    # -- what is done -----------------------------------------------------------------------------

    def enqueue(self) -> tuple[str, ...]:
        pick = self.random
        job_id = f"job-{len(self.jobs)}"
        keys = pick.sample(sorted(LIMITS), pick.choice([1, 1, 1, 2]))
        claims = tuple(
            Claim(
                key=key,
                limit=LIMITS[key],
                on_conflict=pick.choice([*OnConflict, OnConflict.WAIT, OnConflict.WAIT]),
                across_retries=pick.random() < 0.6,
            )
            for key in keys
        )
        if pick.random() < 0.4:
            claims = (*claims[: pick.choice([0, 1])], self._timed_claim())
        about = {"claims": claims, "priority": pick.choice([None, 0, 4, 9])}
        try:
            result = steps.enqueue(self.store, job_id, **about)
        except Overlapping:
            assert self.store.job(job_id) is None
            return ()
        self.jobs[job_id] = about
        return self._held_back(result)

    def _timed_claim(self) -> Claim:
        pick = self.random
        at = self.store.now() + timedelta(seconds=pick.choice([-1, 3, 10, 40]))
        skips = pick.choice([OnConflict.SKIP, OnConflict.RAISE])
        return pick.choice([
            Claim(
                key=RATE, kind=Kind.RATE, limit=BURST, interval=INTERVAL,
                on_conflict=pick.choice([OnConflict.WAIT, OnConflict.WAIT, skips]),
            ),
            Claim(key=CLOCK, kind=Kind.CLOCK, at=at, until_start=True),
            Claim(key=QUEUE, kind=Kind.QUEUE, limit=AHEAD, at=at, until_start=True),
            Claim(key=UNIQUE, kind=Kind.UNIQUE, on_conflict=skips, until_start=pick.random() < 0.5),
        ])  # fmt: skip

    def start(self) -> tuple[str, ...]:
        job_id = self._job()
        if job_id is None:
            return ()
        job = steps.the_job(self.store, job_id)
        token, about = f"token-{self.starts}", {**self.jobs[job_id], "retries": job.retries}
        self.starts += 1
        result = steps.start(self.store, job_id, token, **about)
        if result.admitted or result.refusal is Refusal.PARKED:
            self.came.add(job_id)
        if result.admitted:
            self.tokens[token] = job_id, job.retries
            fences = dict(result.fences)
            assert set(fences) == {claim.key for claim in self.jobs[job_id]["claims"] if claim.key in LIMITS}
            self.admitted_by_time(job_id)
            for key, fence in fences.items():
                assert fence > self.fences[key], "a fence fell"
                self.fences[key] = fence
                self.released.discard((key, job_id))
            self.open[token] = fences
        return (*result.called, *self._held_back(result))

    def admitted_by_time(self, job_id: str) -> None:
        now = self.store.now()
        for claim in self.jobs[job_id]["claims"]:
            if claim.kind is Kind.CLOCK:
                assert claim.at <= now, "it was started before its time"
            if claim.kind is Kind.RATE:
                self.passed.append(now)
                for number, earlier in enumerate(reversed(self.passed)):
                    # What a start may be late is made good, but not more.
                    most = BURST + ((now - earlier).total_seconds() + 1.0) / INTERVAL
                    assert number + 1 <= most, "more started than may in this time"

    def _held_back(self, result: Any) -> tuple[str, ...]:
        self.parked += result.job.state is JobState.WAITING
        called: tuple[str, ...] = ()
        for job_id in result.superseded:
            called += tuple(steps.settle(self.store, job_id, JobState.SKIPPED, Reason.OVERLAP).called)
        assert self.store.superseded_jobs(100) == []
        return called

    def finish(self) -> tuple[str, ...]:
        token = self._token()
        if token is None:
            return ()
        outcome = self.random.choice(OUTCOMES)
        result = steps.finish(self.store, self.tokens[token][0], token, outcome, **self._about(token))
        assert result.applied is (self.open.pop(token, None) is not None)
        return tuple(result.called)

    def retry(self) -> tuple[str, ...]:
        token = self._token()
        if token is None:
            return ()
        job_id, retries = self.tokens[token]
        result = steps.retry(self.store, job_id, token, retries + 1, **self.jobs[job_id])
        assert result.applied is (self.open.pop(token, None) is not None)
        return tuple(result.called)

    def lose(self) -> tuple[str, ...]:
        token = self._token()
        if token is None:
            return ()
        request = RequeueRequest(
            job_id=self.tokens[token][0], token=token, error=ErrorInfo(type="Lost", message="")
        )
        result = self.store.requeue_lost(request)
        if result.applied:
            del self.open[token]
        return tuple(result.called)

    def cancel(self) -> tuple[str, ...]:
        job_id = self._job()
        if job_id is None:
            return ()
        return tuple(self.store.request_cancel(job_id).called)

    def release(self) -> tuple[str, ...]:
        key = self.random.choice(KEYS)
        if key == RATE:
            self.passed.clear()
        taken = [place.job_id for place in self.store.places(key, 100) if place.takes]
        self.released |= {(key, job_id) for job_id in taken}
        return tuple(self.store.release_lock(key))

    def wait(self) -> tuple[str, ...]:
        """Let time pass, and call who is due as the watch does."""
        self.clock.advance(self.random.choice([3, 6, 40]))
        self.move_who_was_called()
        now = self.store.now()
        called: list[str] = []
        for key, due_at in self.store.due_keys(now, 10):
            assert due_at <= now
            called += self.store.call_due(key)
            lock = self.store.lock(key)
            assert lock is not None
            assert lock.due_at is None or lock.due_at > now, "it is still due"
        self.called += len(called)
        return tuple(called)

    def move_who_was_called(self) -> None:
        for job_id in self.store.called_jobs(100):
            assert self.store.unpark(job_id).applied
        assert self.store.called_jobs(100) == []

    def _about(self, token: str) -> dict[str, Any]:
        job_id, retries = self.tokens[token]
        return {**self.jobs[job_id], "retries": retries}

    def _job(self) -> str | None:
        """Mostly one that has not ended."""
        ended = {job_id for job_id in self.jobs if steps.the_job(self.store, job_id).is_final}
        live = [job_id for job_id in self.jobs if job_id not in ended]
        among = live if live and self.random.random() < 0.9 else list(self.jobs)
        return self.random.choice(among) if among else None

    def _token(self) -> str | None:
        """Mostly of an attempt that is open."""
        among = self.open if self.open and self.random.random() < 0.9 else self.tokens
        return self.random.choice(list(among)) if among else None

    # -- what must hold ----------------------------------------------------------------------------

    def _line(self, key: str) -> list[Place]:
        return [p for p in self.store.places(key, 1000) if p.standing is Standing.WAITING]

    def _called_in_order(
        self, before: dict[str, list[Place]], called: tuple[str, ...], *, is_told: bool
    ) -> None:
        """Of those who waited before, the first ones are called, unless they have gone."""
        for key, line in before.items():
            order = [(-place.priority, place.recorded_at, place.job_id) for place in line]
            assert order == sorted(order)
            standing = {place.job_id: place.standing for place in self.store.places(key, 1000)}
            still = [place.job_id for place in line if standing.get(place.job_id) is Standing.WAITING]
            moved = [p.job_id for p in line if standing.get(p.job_id) is Standing.CALLED]
            # A dispatch does not tell: the checker finds them.
            assert set(moved) <= set(called) or not is_told
            assert [p.job_id for p in line if p.job_id in {*still, *moved}] == [*moved, *still], key

    def _is_alone(self, job: JobRecord) -> bool:
        """Whether no other one with its unique key may be dispatched."""
        claims = () if job.is_final or (UNIQUE, job.id) in self.released else self.jobs[job.id]["claims"]
        return any(
            claim.kind is Kind.UNIQUE and not (claim.until_start and job.id in self.came) for claim in claims
        )

    def everything_holds(self) -> None:
        at = {key: self.store.places(key, 1000) for key in KEYS}
        jobs = {job_id: steps.the_job(self.store, job_id) for job_id in self.jobs}
        limits = {**LIMITS, RATE: BURST, QUEUE: AHEAD, UNIQUE: 1, CLOCK: 1000}
        for key, limit in limits.items():
            lock, places = self.store.lock(key), at[key]
            taken = sum(place.takes for place in places)
            waiting = sum(place.standing is Standing.WAITING for place in places)
            assert taken <= limit, "more have the key than may"
            if key in LIMITS:
                assert taken == limit or not waiting, "somebody waits at a key that has room"
            else:
                assert not waiting or lock.due_at is not None, "somebody waits and nobody will look"
            assert (taken, waiting) == ((lock.taken, lock.waiting) if lock else (0, 0))
            for place in places:
                assert not jobs[place.job_id].is_final, "a job that has ended has a place"
        for job_id, job in jobs.items():
            standing = {key: p.standing for key in KEYS for p in at[key] if p.job_id == job_id}
            if job.state is JobState.WAITING:
                assert job.waits_for is not None
                if (job.waits_for, job_id) not in self.released:
                    assert standing[job.waits_for] in {Standing.WAITING, Standing.CALLED}
            else:
                assert Standing.WAITING not in standing.values()
            if self._is_alone(job):
                assert standing[UNIQUE] is Standing.HOLDING, "a second one may be dispatched"
        for token, fences in self.open.items():
            for key, fence in fences.items():
                if (key, self.tokens[token][0]) not in self.released:
                    place = next(p for p in at[key] if p.job_id == self.tokens[token][0])
                    assert (place.standing, place.fence) == (Standing.HOLDING, fence)


@pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)
def test_random_jobs_at_a_few_keys(backend: Backend) -> None:
    timed = 0
    for seed in range(SEEDS[backend.name]):
        clock = Clock()
        with backend.fresh(clock) as store:
            run = LockRun(store, clock, seed)
            for _ in range(STEPS):
                run.step()
            # Or it would have looked at keys that nobody wants.
            assert len(run.tokens) > STEPS / 20
            assert run.parked > STEPS / 40
            timed += run.called
    assert timed
