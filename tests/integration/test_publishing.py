"""Each way of publishing is recorded, once, and runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from celery import chain, chord, group

from tests.integration.live import BOUND, Shop
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shop():
    with tempfile.TemporaryDirectory(prefix="jobtrack-shop-") as folder:
        opened = Shop(Path(folder))
        with opened.worker():
            yield opened
        opened.close()


@pytest.fixture
def recorded(shop):
    """The jobs recorded since the test began, oldest first."""
    before = {job.id for job in shop.jobtrack.inspect.jobs(limit=1000).items}

    def new():
        jobs = shop.jobtrack.inspect.jobs(limit=1000).items
        return [job for job in reversed(jobs) if job.id not in before]

    return new


def settled(shop, recorded, count):
    wait_until(
        lambda: len(recorded()) >= count and all(job.is_final for job in recorded()),
        BOUND,
        "the jobs did not end",
    )
    return [(job.task, str(job.state)) for job in recorded()]


def test_apply_async_is_recorded_once(shop, recorded):
    result = shop.task("add").apply_async((1, 2), tags=["red"])
    assert settled(shop, recorded, 1) == [("shop.add", "SUCCESS")]
    job = result.job()
    assert (job.args, job.tags, job.queue, job.attempts) == ("(1, 2)", ("red",), "celery", 1)
    assert result.get(timeout=BOUND) == 3


def test_delay_is_recorded_once(shop, recorded):
    shop.task("add").delay(1, y=2)
    assert settled(shop, recorded, 1) == [("shop.add", "SUCCESS")]
    assert recorded()[0].kwargs == "{'y': 2}"


def test_send_task_by_name_is_recorded_once(shop, recorded):
    shop.app.send_task("shop.add", (1, 2))
    assert settled(shop, recorded, 1) == [("shop.add", "SUCCESS")]


def test_send_task_from_an_app_without_tracking_is_recorded_by_its_start(shop, recorded):
    from celery import Celery

    stranger = Celery("stranger", broker="filesystem://", set_as_current=False)
    stranger.conf.update(
        broker_transport=shop.app.conf.broker_transport,
        broker_transport_options=shop.app.conf.broker_transport_options,
    )
    stranger.send_task("shop.add", (1, 2))
    stranger.close()
    assert settled(shop, recorded, 1) == [("shop.add", "SUCCESS")]
    assert recorded()[0].enqueued_at is None


def test_retries_are_the_same_job(shop, recorded):
    shop.task("flaky").delay(3)
    assert settled(shop, recorded, 1) == [("shop.flaky", "SUCCESS")]
    assert (recorded()[0].retries, recorded()[0].attempts) == (3, 4)


def test_a_group_of_celery_is_recorded_member_by_member(shop, recorded):
    add = shop.task("add")
    result = group([add.s(n, 1) for n in range(3)], app=shop.app).apply_async()
    assert settled(shop, recorded, 3) == [("shop.add", "SUCCESS")] * 3
    assert result.get(timeout=BOUND) == [1, 2, 3]


def test_a_group_of_celery_joins_a_job_group(shop):
    add, ours = shop.task("add"), shop.jobtrack.groups.create("of Celery")
    with ours.filling():
        group([add.s(n, 1) for n in range(3)], app=shop.app).apply_async(job_group=ours)
    shop.await_completion(ours)
    assert ours.status().succeeded == 3


def test_a_chain_is_recorded_link_by_link(shop, recorded):
    add = shop.task("add")
    result = chain(add.s(1, 1), add.s(2), add.s(3), app=shop.app).apply_async()
    assert result.get(timeout=BOUND) == 7
    assert settled(shop, recorded, 3) == [("shop.add", "SUCCESS")] * 3


def test_a_chord_is_recorded_with_its_body(shop, recorded):
    add, collect = shop.task("add"), shop.task("collect")
    result = chord([add.s(n, 1) for n in range(3)], app=shop.app)(collect.s())
    assert result.get(timeout=BOUND) == 6
    assert settled(shop, recorded, 4) == [("shop.add", "SUCCESS")] * 3 + [("shop.collect", "SUCCESS")]


def test_a_class_style_job_is_recorded_once(shop, recorded):
    result = shop.jobtrack.dispatch("send-email", to="a@example.com", fail_first=True)
    assert settled(shop, recorded, 1) == [("send-email", "SUCCESS")]
    assert result.get(timeout=BOUND) == "a@example.com plain"
    assert recorded()[0].attempts == 2


def test_the_builder_sends_what_was_built(shop, recorded):
    ours = shop.jobtrack.groups.create("built")
    pending = shop.task("flaky").job(5).in_group(ours).tagged("a", "b").max_retries(1).with_priority(9)
    pending.dispatch()
    shop.await_completion(ours)
    job = recorded()[0]
    assert (str(job.state), job.attempts, job.tags, job.priority) == ("FAILURE", 2, ("a", "b"), 9)


def test_a_job_for_later_is_scheduled_and_runs_then(shop, recorded):
    result = shop.task("add").job(1, 2).delay_for(1.5).dispatch()
    job = result.job()
    assert (str(job.state), job.eta is not None) == ("ENQUEUED", True)
    assert result.wait_settled(BOUND).started_at >= job.eta


def test_beat_sends_jobs_and_the_check_and_both_are_right(shop, recorded):
    schedule = {"often": {"task": "shop.add", "schedule": 0.5, "args": [1, 1]}}
    with shop.beat(beat_schedule=schedule, beat_max_loop_interval=1) as beat:
        settled(shop, recorded, 2)
        wait_until(lambda: "celery_jobtrack.check" in beat.tail(500), BOUND, "beat does not send the check")
    assert {job.task for job in recorded()} == {"shop.add"}
    assert len({job.id for job in recorded()}) == len(recorded())


def test_internal_tasks_are_never_recorded(shop):
    shop.app.tasks["celery_jobtrack.check"].delay()
    shop.app.tasks["celery.backend_cleanup"].delay()
    shop.task("add").delay(1, 2).wait_settled(BOUND)
    assert {job.task for job in shop.jobtrack.inspect.jobs(limit=1000).items} & {
        "celery_jobtrack.check",
        "celery.backend_cleanup",
        "celery_jobtrack.deliver",
        "celery.chord_unlock",
    } == set()
