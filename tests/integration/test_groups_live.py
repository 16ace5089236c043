"""Groups under real workers: both events, once, in order, whatever the timing."""

from __future__ import annotations

import os
import signal
import uuid

import pytest
from celery import chord
from celery.exceptions import ChordError

from celery_jobtrack.model.state import Outcome, Reason
from tests.integration.live import BOUND
from tests.waiting import wait_until

NEVER = 3600


def test_a_group_that_finishes_between_two_checks_gives_both_events(shop):
    group = shop.jobtrack.groups.create("quick", time_to_check=NEVER)
    with shop.worker(jobtrack_check_interval=NEVER):
        shop.task("add").apply_async((1, 2), job_group=group)
        shop.await_completion(group)


def test_two_waves_under_one_filling_give_one_completion(shop):
    group = shop.jobtrack.groups.create("waves")
    with shop.worker(), group.filling():
        for _wave in range(2):
            results = [shop.task("add").apply_async((1, n), job_group=group) for n in range(5)]
            for result in results:
                result.wait_settled(BOUND)
            assert not group.refresh().is_over
    shop.await_completion(group)
    assert (group.generation, group.status().succeeded) == (1, 10)


def test_a_standing_group_completes_once_per_generation(shop):
    group = shop.jobtrack.groups.get_or_create("nightly", "Nightly import")
    with shop.worker():
        for generation in (1, 2):
            shop.task("add").apply_async((1, 1), job_group=group)
            group.wait(BOUND)
            wait_until(
                lambda n=generation: shop.events(group) == ["started", "completed"] * n,
                BOUND,
                "the events were not delivered",
            )
    assert group.refresh().generation == 2


def test_settle_after_waits_for_a_loop_that_feeds_the_group(shop):
    group = shop.jobtrack.groups.create("fed in a loop", settle_after=3)
    with shop.worker():
        for n in range(3):
            shop.task("add").apply_async((1, n), job_group=group).wait_settled(BOUND)
        shop.await_completion(group)
    assert (group.refresh().generation, group.status().total) == (1, 3)


def test_ten_groups_finishing_at_once_under_two_workers_give_ten_completions(shop):
    groups = [shop.jobtrack.groups.create(f"group {n}") for n in range(10)]
    with shop.worker(), shop.worker():
        for group in groups:
            with group.filling():
                for n in range(4):
                    shop.task("add").apply_async((1, n), job_group=group)
        for group in groups:
            shop.await_completion(group)


def test_several_task_types_and_failures_in_one_group(shop):
    group = shop.jobtrack.groups.create("mixed", payload={"source": "s3"})
    with shop.worker():
        with group.filling():
            for name, args in (("add", (1, 2)), ("error", ()), ("flaky", (1,)), ("ignore", ())):
                shop.task(name).apply_async(args, job_group=group)
        shop.await_completion(group)
    status = group.status()
    assert (status.succeeded, status.failed, status.skipped, status.percent) == (2, 1, 1, 100.0)
    assert group.payload == {"source": "s3"}


def test_a_batch_completes_after_it_is_sealed(shop):
    batch = shop.jobtrack.groups.create("batch", standing=False)
    with shop.worker():
        shop.task("add").apply_async((1, 2), job_group=batch).wait_settled(BOUND)
        assert not batch.refresh().is_over
        batch.seal()
        shop.await_completion(batch)


def test_mark_running_announces_the_start_before_any_job_does(shop):
    group = shop.jobtrack.groups.create("announced")
    with shop.worker():
        group.mark_running()
        wait_until(lambda: shop.events(group) == ["started"], BOUND, "started was not delivered")
        shop.task("add").apply_async((1, 2), job_group=group)
        shop.await_completion(group)


def test_a_whole_worker_killed_loses_no_job_and_hangs_no_group(shop):
    group = shop.jobtrack.groups.create("killed")
    names = [uuid.uuid4().hex for _ in range(2)]
    with shop.worker() as first:
        running = [shop.task("wait").apply_async((name,), job_group=group) for name in names]
        for name in names:
            shop.await_running(name)
        # These are fetched by the worker, which deletes them from the file system, and not started.
        queued = [shop.task("add").apply_async((1, n), job_group=group) for n in range(20)]
        first.kill_whole()
    with shop.worker():
        shop.await_completion(group)
    for result in running:
        details = shop.jobtrack.inspect.job(result.id)
        assert details.reason is Reason.WORKER_LOST
        assert [attempt.outcome for attempt in details.attempts] == [Outcome.LOST]
        assert result.state == "FAILURE"
    assert {str(result.job().state) for result in queued} == {"SUCCESS"}


def test_a_chord_ends_when_the_worker_of_a_member_is_killed(make_shop, redis_server):
    # Redis counts a chord's members itself; with other backends Celery's own unlocking task would
    # be lost together with the worker that had fetched it.
    shop, name = make_shop(result_backend=redis_server.new_database()), uuid.uuid4().hex
    with shop.worker() as first:
        body = chord([shop.task("add").s(1, 2), shop.task("wait").s(name)], app=shop.app)(
            shop.task("collect").s()
        )
        shop.await_running(name)
        first.kill_whole()
    with shop.worker():
        wait_until(lambda: body.state == "FAILURE", BOUND, "the chord hangs")
    assert isinstance(body.result, ChordError)


def test_events_reach_the_listeners_of_a_worker_that_consumes_another_queue(shop):
    group = shop.jobtrack.groups.create("elsewhere")
    with shop.worker("-Q", "elsewhere"):
        # Its end is told by the worker's main process, which may not call listeners itself.
        shop.task("hard").apply_async(job_group=group, queue="elsewhere")
        shop.await_completion(group)


def test_a_worker_that_is_stopped_says_goodbye(shop):
    with shop.worker():
        assert len(shop.jobtrack.inspect.workers()) == 1
    (worker,) = shop.jobtrack.inspect.workers(alive=False)
    assert worker.stopped_at is not None
    assert shop.jobtrack.inspect.workers() == []


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_settle_jobs_and_deliver_events(shop, pool):
    group = shop.jobtrack.groups.create(pool)
    with shop.worker("-P", pool):
        with group.filling():
            for name, args in (("add", (1, 2)), ("error", ()), ("flaky", (1,))):
                shop.task(name).apply_async(args, job_group=group)
        shop.await_completion(group)


def test_a_job_is_settled_although_the_result_backend_fails(shop):
    group = shop.jobtrack.groups.create("no backend")
    with shop.worker() as worker:
        assert shop.app.backend is not None  # made while its folder is there, as in the worker
        (shop.folder / "results").rename(shop.folder / "away")
        results = [
            shop.task(name).apply_async(args, job_group=group)
            for name, args in (("error", ()), ("add", (1, 2)))
        ]
        shop.await_completion(group)
        assert worker.is_running()
    assert [str(result.job().state) for result in results] == ["FAILURE", "SUCCESS"]
    assert str(results[0].job().error) == "ValueError: boom"


def test_a_cold_shutdown_says_goodbye(shop):
    name = uuid.uuid4().hex
    with shop.worker(jobtrack_lease=NEVER) as worker:
        result = shop.task("wait").apply_async((name,))
        shop.await_running(name)
        os.kill(worker.pid, signal.SIGQUIT)
        worker.wait()
    assert shop.jobtrack.inspect.workers() == []
    assert result.job().reason is Reason.WORKER_LOST


def test_track_all_needs_no_change_to_tasks(make_shop):
    shop = make_shop(jobtrack_track_all=True)
    group = shop.jobtrack.groups.create("all")
    with shop.worker():
        shop.task("plain").apply_async(job_group=group)
        shop.task("plain_die_once").apply_async(job_group=group)
        shop.await_completion(group)
        assert group.status().succeeded == 2
        result = shop.app.send_task("shop.plain")
        wait_until(lambda: shop.jobtrack.store.job(result.id).is_final, BOUND, "it was not tracked")
    assert str(shop.jobtrack.store.job(result.id).state) == "SUCCESS"


def test_a_worker_with_a_wrong_setting_does_not_start_and_says_why(shop):
    from tests.integration.live import Process

    process = Process(shop, "worker", "-c", "1", settings={"jobtrack_stratgy": "x"})
    assert process.wait() == 1
    last = process.tail(1)
    assert "'jobtrack_stratgy' is not known; did you mean jobtrack_strategy?" in last


def test_a_worker_without_its_store_gives_up_after_a_bounded_wait(shop):
    from tests.integration.live import Process

    settings = {
        "jobtrack_strategy": "postgresql+psycopg://me:secret@127.0.0.1:1/none",
        "jobtrack_store_wait": 1,
    }
    process = Process(shop, "worker", "-c", "1", settings=settings)
    assert process.wait() == 1
    last = process.tail(1)
    assert "StoreUnavailable" in last
    assert "(waited 1 s, jobtrack_store_wait)" in last
    assert "secret" not in process.tail(500)


def test_a_child_killed_while_another_job_runs_harms_only_its_own(shop):
    group, name = shop.jobtrack.groups.create("child"), uuid.uuid4().hex
    with shop.worker():
        running = shop.task("wait").apply_async((name,), job_group=group)
        other = shop.task("add").apply_async((1, 2), job_group=group)
        os.kill(shop.await_running(name), signal.SIGKILL)
        shop.await_completion(group)
    assert running.job().reason is Reason.WORKER_LOST
    assert str(other.job().state) == "SUCCESS"
