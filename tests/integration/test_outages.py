"""The store is away while jobs are sent and run: everything that happened is recorded afterwards."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from celery_jobtrack.errors import StoreUnavailable
from tests import missing_servers
from tests.integration.live import BOUND, Shop
from tests.servers import postgresql, redis
from tests.waiting import wait_until

STARTS = {"postgresql": postgresql.start, "redis": redis.start}
SETTINGS = {
    "jobtrack_heartbeat": 0.5,
    "jobtrack_lease": 4.0,
    "jobtrack_check_interval": 0.5,
    "jobtrack_lost_message_after": 3.0,
}


@pytest.fixture(params=sorted(STARTS))
def server(request):
    """A store server of this test's own: it will be stopped."""
    with missing_servers.running(STARTS[request.param]) as started:
        yield started


@pytest.fixture
def shop(server):
    with tempfile.TemporaryDirectory(prefix="jobtrack-shop-") as folder:
        opened = Shop(
            Path(folder), server.new_database(), jobtrack_spool_dir=str(Path(folder) / "spool"), **SETTINGS
        )
        yield opened
        opened.close()


@contextmanager
def away(server, seconds):
    """The server is away for so long, and meanwhile the test does what it does."""
    server.kill()
    began = time.monotonic()
    try:
        yield
        wait_until(lambda: time.monotonic() - began >= seconds, seconds + 5, "the time to pass")
    finally:
        server.restart()


def runs(shop):
    path = shop.folder / "runs"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def spooled(shop):
    folder = shop.folder / "spool"
    return [path for path in folder.rglob("*") if path.is_file()]


def settled(shop, ids):
    def all_final():
        return all((job := shop.jobtrack.store.job(job_id)) is not None and job.is_final for job_id in ids)

    wait_until(all_final, 2 * BOUND, "every job ends")
    wait_until(lambda: not spooled(shop), BOUND, "the spool is replayed")


def healthy(shop, job_id):
    job = shop.jobtrack.inspect.job(job_id)
    assert str(job.state) == "SUCCESS", job
    assert [str(attempt.outcome) for attempt in job.attempts] == ["SUCCESS"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [2.0, 8.0])
def test_nothing_is_lost_while_the_store_is_away(shop, server, seconds):
    """Shorter and longer than the lease; before, during and after it jobs are sent and run."""
    note = shop.task("note")
    with shop.worker(), shop.worker():
        group = shop.jobtrack.groups.create("busy")
        before = [note.apply_async((0.1,), job_group=group).id for _ in range(40)]
        spanning = shop.task("wait").delay("spanning")
        shop.await_running("spanning")
        with away(server, seconds):
            began = time.monotonic()
            during = [note.delay(0.0).id for _ in range(20)]
            took = time.monotonic() - began
            with pytest.raises(StoreUnavailable):
                note.apply_async((0.0,), job_group=group)
        after = [note.delay(0.0).id for _ in range(10)]
        settled(shop, [*before, *during, *after])
        shop.let_go("spanning")
        settled(shop, [spanning.id])
        for job_id in [*before, *during, *after, spanning.id]:
            healthy(shop, job_id)
        assert runs(shop) == Counter(dict.fromkeys([*before, *during, *after], 1))
        shop.await_completion(group)
        assert took < 10, f"20 dispatches took {took:.1f} s"


@pytest.mark.timeout(240)
def test_worker_killed_while_the_store_is_away_loses_only_what_it_ran(shop, server):
    with ExitStack() as stack:
        # A queue of its own, so that it fetches nothing that the other one shall run.
        victim = stack.enter_context(shop.worker("-Q", "victims"))
        wait = shop.task("wait")
        running = [wait.apply_async((name,), queue="victims") for name in ("one", "two")]
        for name in ("one", "two"):
            shop.await_running(name)
        survivor = stack.enter_context(shop.worker())
        healthy_one = wait.delay("three")
        shop.await_running("three")
        with away(server, 6.0):
            in_spool = [wait.delay(name) for name in ("four",)]
            shop.await_running("four")
            victim.kill_whole()
        settled(shop, [job.id for job in running])
        for job in running:
            assert str(job.job().reason) == "worker_lost"
        for name, job in (("three", healthy_one), ("four", in_spool[0])):
            shop.let_go(name)
            settled(shop, [job.id])
            healthy(shop, job.id)
        assert survivor.is_running()


@pytest.mark.timeout(240)
def test_job_that_started_and_whose_worker_died_while_the_store_was_away_is_lost_and_not_run_again(
    shop, server
):
    """Its start is in the spool of a dead worker: the next one on the machine adopts it."""
    with ExitStack() as stack:
        victim = stack.enter_context(shop.worker())
        server.kill()
        try:
            job = shop.task("note").delay(600.0)
            wait_until(lambda: runs(shop)[job.id], BOUND, "it runs")
            wait_until(lambda: len(spooled(shop)) == 2, BOUND, "its start is kept")
            victim.kill_whole()
        finally:
            server.restart()
        with shop.worker():
            wait_until(lambda: shop.jobtrack.store.job(job.id) is not None, BOUND, "it is recorded")
            settled(shop, [job.id])
            assert str(job.job().reason) == "worker_lost"
            assert runs(shop) == Counter({job.id: 1})


@pytest.mark.timeout(240)
def test_frozen_worker_that_comes_back_changes_nothing(shop, server):
    with ExitStack() as stack:
        frozen = stack.enter_context(shop.worker())
        job = shop.task("wait").delay("frozen")
        shop.await_running("frozen")
        stack.enter_context(shop.worker())
        frozen.freeze()
        try:
            settled(shop, [job.id])
            assert str(job.job().reason) == "worker_lost"
            shop.let_go("frozen")
        finally:
            frozen.thaw()
        wait_until(
            lambda: job.job() and shop.jobtrack.inspect.job(job.id).attempts[0].late_outcome,
            BOUND,
            "its true outcome is kept",
        )
        assert str(job.job().reason) == "worker_lost"
        wait_until(lambda: len(shop.jobtrack.inspect.workers()) == 2, BOUND, "it is heard again")
