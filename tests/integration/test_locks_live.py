"""Locks and limits with real workers, some of which are killed: a witness sees who is at a key.

``--random-runs 2000`` makes so many dispatches; the seed is in the message of a failure.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from celery_jobtrack import Overlap
from celery_jobtrack.model.state import JobState, Reason
from tests.integration.apps import witness
from tests.integration.live import BOUND
from tests.waiting import wait_until

USUAL = 100
KEYS = 10
WORKERS = 4
BODY = 0.004
"""Seconds that a job is at its key, about."""
PAUSE = 0.4
"""Seconds between two kills, about."""
SECONDS_EACH = 0.5
"""For each job, with all that is killed; all must have ended by then."""


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def shop(make_shop, request):
    """A shop on each kind of store. A child that is killed while it idles takes billiard's lock of the pool's
    queue with it, unless the pool works without: with Redis as broker it does.
    """
    broker = request.getfixturevalue("redis_server").new_database()
    if request.param == "sqlite":
        return make_shop(broker_url=broker)
    store = request.getfixturevalue(f"{request.param}_server").new_database()
    return make_shop(store_url=store, broker_url=broker)


def jobs_of(shop, task, **filters):
    cursor = None
    while True:
        page = shop.jobtrack.inspect.jobs(task=f"shop.{task}", limit=1000, cursor=cursor, **filters)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def assert_all_free(shop):
    """Nobody has a key, nobody waits, and nobody was called in vain."""
    store = shop.jobtrack.store
    for lock in shop.jobtrack.locks.list(limit=1000).items:
        assert (lock.holders, lock.waiting, lock.line) == ((), 0, ()), lock
    assert (list(store.called_jobs(10)), list(store.superseded_jobs(10))) == ([], [])


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Killer:
    """Kills a child, or a whole worker and its successor comes."""

    def __init__(self, shop, dice, stack):
        self._shop, self._dice, self._stack = shop, dice, stack
        self._workers = [self._hired() for _ in range(WORKERS)]
        self.kills = 0

    def strike(self):
        number = self._dice.randrange(WORKERS)
        worker = self._workers[number]
        self.kills += 1
        if self._dice.random() < 0.7:
            with suppress(OSError, IndexError):
                os.kill(self._dice.choice(children(worker.pid)), signal.SIGKILL)
            return
        worker.kill_whole()
        self._workers[number] = self._hired()

    def _hired(self):
        return self._stack.enter_context(self._shop.worker("-c", "1"))


@pytest.mark.timeout(3600)
def test_key_has_one_holder_whoever_dies_and_none_at_the_end(shop, request):
    count = request.config.getoption("--random-runs") or USUAL
    seed = random.randrange(1_000_000)
    dice = random.Random(seed)
    with ExitStack() as stack:
        killer = Killer(shop, dice, stack)
        ids = set()
        next_kill = time.monotonic()
        for number in range(count):
            ids.add(shop.task("guarded").delay(f"k{dice.randrange(KEYS)}", dice.random() * 2 * BODY).id)
            if number % 20 == 0 and time.monotonic() >= next_kill:
                killer.strike()
                next_kill = time.monotonic() + PAUSE
        deadline = time.monotonic() + 60 + SECONDS_EACH * count

        def all_have_ended():
            nonlocal next_kill
            if time.monotonic() >= next_kill and time.monotonic() < deadline - 40:
                killer.strike()
                next_kill = time.monotonic() + PAUSE * 5 * dice.random()
            counts = shop.jobtrack.store.counts()
            return sum(number for state, number in counts.items() if state.is_final) == count

        wait_until(all_have_ended, deadline - time.monotonic(), f"seed {seed}: not all jobs have ended")
        assert witness.violations(shop.folder) == [], f"seed {seed}, {killer.kills} kills"
        found = {job.id: job for job in jobs_of(shop, "guarded")}
        assert set(found) == ids
        ends = {(job.state, job.reason) for job in found.values()}
        # Who was lost too often has failed; all others have run.
        assert ends <= {(JobState.SUCCESS, None), (JobState.FAILURE, Reason.WORKER_LOST)}, f"seed {seed}"
        assert_all_free(shop)


def test_limit_of_three_over_four_workers_never_shows_four(shop):
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(shop.worker("-c", "2"))
        for _ in range(60):
            shop.task("limited").delay(0.05)
        wait_until(
            lambda: shop.jobtrack.store.counts()[JobState.SUCCESS] == 60, BOUND * 2, "not all have succeeded"
        )
        assert witness.violations(shop.folder) == []
        assert_all_free(shop)


def test_key_of_a_killed_worker_is_free_after_its_lease_and_one_check(shop):
    with shop.worker("-c", "1") as victim:
        shop.task("guarded").delay("k", 60)
        wait_until(lambda: shop.jobtrack.locks.list().items[0:1] and _holds(shop), BOUND, "it does not run")
        victim.kill_whole()
    killed_at = time.monotonic()
    with shop.worker("-c", "1"):
        second = shop.task("guarded").delay("k")
        (lost,) = (job for job in jobs_of(shop, "guarded") if job.id != second.id)
        # It may run again, and would for a minute.
        shop.jobtrack.cancel(lost.id)
        wait_until(lambda: second.job().is_final, BOUND, "the key was not free")
        # The lease is 3 s and a check comes every 0.5 s; the rest is the start of a worker.
        assert time.monotonic() - killed_at < BOUND
        assert witness.violations(shop.folder) == []


def _holds(shop):
    return shop.jobtrack.locks.list().items[0].holders


def test_job_that_overlaps_is_skipped_and_its_result_says_behind_whom(shop):
    with shop.worker("-c", "2"):
        first = shop.task("skipping").delay("one")
        wait_until((shop.folder / "one.running").exists, BOUND, "it does not run")
        second = shop.task("skipping").delay("one")
        job = second.job()
        assert (job.state, job.reason, job.blocked_by) == (JobState.SKIPPED, Reason.OVERLAP, first.id)
        with pytest.raises(TaskRevokedError, match=first.id):
            second.get(timeout=BOUND)
        shop.let_go("one")
        assert first.wait_settled(timeout=BOUND).state is JobState.SUCCESS
        third = shop.task("skipping").delay("one")
        assert third.wait_settled(timeout=BOUND).state is JobState.SUCCESS
        assert_all_free(shop)


def test_beat_that_fires_too_often_has_one_run_and_says_so_of_the_others(shop):
    entry = {"task": "shop.skipping", "schedule": 0.5, "args": ["beat"]}
    with shop.worker("-c", "2"), shop.beat(beat_schedule={"often": entry}):
        skipped = "the second run was not skipped"
        wait_until(lambda: len(list(jobs_of(shop, "skipping", state="SKIPPED"))) >= 2, BOUND, skipped)
        assert (shop.folder / "beat.running").exists()
        shop.let_go("beat")
        ended = "the first run did not end"
        wait_until(lambda: list(jobs_of(shop, "skipping", state="SUCCESS")), BOUND, ended)
    first = min(jobs_of(shop, "skipping"), key=lambda job: job.enqueued_at)
    late = list(jobs_of(shop, "skipping", state="SKIPPED"))
    assert {(job.reason, job.blocked_by) for job in late} == {(Reason.OVERLAP, first.id)}


def test_job_that_a_process_without_tracking_sent_keeps_to_the_lock(shop):
    foreign = Celery("elsewhere", broker=shop.broker_url, set_as_current=False)
    with shop.worker("-c", "2"):
        first = foreign.send_task("shop.skipping", ["one"])
        wait_until((shop.folder / "one.running").exists, BOUND, "it does not run")
        second = foreign.send_task("shop.skipping", ["one"])
        store = shop.jobtrack.store
        wait_until(lambda: (job := store.job(second.id)) and job.is_final, BOUND, "the second did not end")
        assert store.job(second.id).blocked_by == first.id
        shop.let_go("one")
        wait_until(lambda: store.job(first.id).is_final, BOUND, "the first did not end")
        assert store.job(first.id).state is JobState.SUCCESS
    foreign.close()


def test_parked_jobs_run_in_their_order_and_occupy_no_worker(shop):
    """One child: while the key is held by it, nobody of those who wait is looked at."""
    with shop.worker("-c", "2"):
        holder = shop.task("skipping").s("hold").set(without_overlapping=_shared()).apply_async()
        wait_until((shop.folder / "hold.running").exists, BOUND, "it does not run")
        parked = [
            shop.task("told_order")
            .job(number)
            .without_overlapping(_shared())
            .with_priority(number % 2 * 9)
            .dispatch()
            for number in range(10)
        ]
        assert {job.job().state for job in parked} == {JobState.WAITING}
        free = shop.task("add").delay(1, 2)
        assert free.get(timeout=BOUND) == 3
        shop.let_go("hold")
        assert holder.wait_settled(timeout=BOUND).state is JobState.SUCCESS
        for each in parked:
            assert each.wait_settled(timeout=BOUND).state is JobState.SUCCESS
        order = [int(line) for line in (shop.folder / "order").read_text().split()]
        assert order == [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]


def _shared():
    return Overlap(key="the same", shared=True, on_conflict="wait")
