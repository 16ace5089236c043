"""The doctor beside real workers, and what it and ``why`` say of them."""

from __future__ import annotations

import time

import pytest

from celery_jobtrack.model.state import JobState
from celery_jobtrack.tracking.doctor import Doctor
from tests.integration.live import BOUND
from tests.waiting import wait_until


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "redis"])
def stored_shop(request, make_shop):
    """A shop on each kind of store, without a worker yet."""
    if request.param == "sqlite":
        return make_shop()
    return make_shop(store_url=request.getfixturevalue(f"{request.param}_server").new_database())


def test_doctor_raises_no_false_alarm_beside_a_worker(stored_shop):
    shop = stored_shop
    with shop.worker("-c", "4", jobtrack_check_interval=1.0):
        doctor = Doctor(shop.jobtrack.runtime.tracker, shop.jobtrack.settings, pause=0.0)
        groups = []
        until = time.monotonic() + 6
        while time.monotonic() < until:
            group = shop.jobtrack.groups.create(f"group {len(groups)}", standing=False)
            with group.filling():
                for number in range(10):
                    shop.task("add").apply_async((1, number), job_group=group, tags=["red"])
            group.seal()
            groups.append(group)
            diagnosis = doctor.examine()
            assert diagnosis.findings == ()
        for group in groups:
            assert group.wait(BOUND).outstanding == 0
        diagnosis = doctor.examine()
    assert (diagnosis.findings, diagnosis.broker_error) == ((), None)
    assert diagnosis.examined >= 10 * len(groups)


def test_why_knows_workers_and_queues(make_shop, redis_server):
    shop = make_shop(broker_url=redis_server.new_database(), jobtrack_lost_message_after=60)
    group = shop.jobtrack.groups.create("stuck")
    with shop.worker("-c", "1"):
        shop.task("wait").apply_async(("first",), job_group=group)
        shop.await_running("first")
        try:
            shop.task("add").apply_async((1, 2), job_group=group, queue="nobody")
            shop.task("add").apply_async((1, 2), job_group=group)
            wait_until(
                lambda: any("fetched" in member.said for member in shop.jobtrack.inspect.why(group).members),
                BOUND,
                "the worker did not fetch the second job",
            )
            running, *queued = shop.jobtrack.inspect.why(group).members
            assert (running.state, running.is_worker_alive) == (JobState.STARTED, True)
            assert running.said.startswith("started ")
            consumed = {member.queue: member.is_queue_consumed for member in queued}
            assert consumed == {"nobody": False, "celery": True}
            said = shop.command("group", group.id, "--why")
            assert said.count("nobody consumes that queue") == 1
            assert "a worker has fetched its message and not begun" in " ".join(said.split())
            # What a worker holds is not lost, however long it takes.
            assert shop.jobtrack.doctor().findings == ()
        finally:
            shop.let_go("first")
