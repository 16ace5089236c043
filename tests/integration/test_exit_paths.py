"""Every way in which a job can end, with a real worker: settled rightly, and its group completes."""

from __future__ import annotations

import uuid

import pytest
from celery import chord
from celery.exceptions import ChordError
from kombu.exceptions import OperationalError

from celery_jobtrack.model.state import Outcome
from tests.waiting import wait_until

BOUND = 40.0


@pytest.fixture
def shop(running_shop):
    return running_shop


def run_in_group(shop, name, *args, **options):
    group = shop.jobtrack.groups.create(name)
    result = shop.task(name).apply_async(args, job_group=group, **options)
    shop.await_completion(group)
    return group, shop.jobtrack.inspect.job(result.id)


def ended(details):
    return str(details.state), details.reason and str(details.reason)


@pytest.mark.parametrize(
    ("name", "args", "state", "reason", "outcomes"),
    [
        ("add", (1, 2), "SUCCESS", None, [Outcome.SUCCESS]),
        ("error", (), "FAILURE", "error", [Outcome.FAILURE]),
        ("flaky", (2,), "SUCCESS", None, [Outcome.RETRY, Outcome.RETRY, Outcome.SUCCESS]),
        ("hopeless", (), "FAILURE", "error", [Outcome.RETRY, Outcome.RETRY, Outcome.FAILURE]),
        ("ignore", (), "SKIPPED", "ignored", [Outcome.SKIPPED]),
        ("reject", (), "FAILURE", "rejected", [Outcome.FAILURE]),
        ("reject_once", (), "SUCCESS", None, [Outcome.REQUEUED, Outcome.SUCCESS]),
        ("reject_acknowledged", (), "FAILURE", "rejected", [Outcome.FAILURE]),
        ("replaced", ("task",), "SUCCESS", None, [Outcome.REPLACED, Outcome.SUCCESS]),
        ("replaced", ("chain",), "SUCCESS", None, [Outcome.REPLACED, Outcome.SUCCESS]),
        ("replaced", ("group",), "SUCCESS", None, [Outcome.REPLACED, Outcome.SUCCESS]),
        ("replaced", ("failing chain",), "FAILURE", "error", [Outcome.REPLACED]),
        ("replaced", ("failing group",), "FAILURE", "error", [Outcome.REPLACED]),
        ("replaced", ("error",), "FAILURE", "error", [Outcome.REPLACED, Outcome.FAILURE]),
        ("soft", (), "FAILURE", "timeout", [Outcome.FAILURE]),
        ("hard", (), "FAILURE", "timeout", [Outcome.FAILURE]),
        ("die", (), "FAILURE", "worker_lost", [Outcome.LOST]),
        ("die_once", (), "SUCCESS", None, [Outcome.LOST, Outcome.SUCCESS]),
        ("die_once_early", (), "SUCCESS", None, [Outcome.LOST, Outcome.SUCCESS]),
        ("die_always", (), "FAILURE", "worker_lost", [Outcome.LOST] * 4),
        ("custom_request", (), "SUCCESS", None, [Outcome.LOST, Outcome.SUCCESS]),
        ("odd_progress", (), "SUCCESS", None, [Outcome.SUCCESS]),
        ("forgetful", (), "SUCCESS", None, [Outcome.SUCCESS]),
        ("member", (), "SUCCESS", None, [Outcome.SUCCESS]),
        ("plain", (), "SUCCESS", None, [Outcome.SUCCESS]),
    ],
)
def test_exit_path_settles_the_job_and_completes_its_group(shop, name, args, state, reason, outcomes):
    _, details = run_in_group(shop, name, *args)
    assert ended(details) == (state, reason)
    assert [attempt.outcome for attempt in details.attempts] == outcomes
    assert details.token is None
    if Outcome.RETRY in outcomes:
        assert "ConnectionError" in str(details.attempts[0].error)


def test_exit_path_system_exit_ends_as_lost(shop):
    _, details = run_in_group(shop, "leave")
    assert ended(details)[0] == "FAILURE"
    assert not any(attempt.is_open for attempt in details.attempts)


def test_exit_path_expired_is_revoked(shop):
    _, details = run_in_group(shop, "add", 1, 2, expires=0.001)
    assert ended(details) == ("REVOKED", "expired")
    assert details.attempts == ()


def test_exit_path_revoked_in_the_queue(shop):
    group = shop.jobtrack.groups.create("revoked")
    result = shop.task("add").apply_async((1, 2), job_group=group, countdown=2)
    shop.app.control.revoke(result.id)
    shop.await_completion(group)
    assert ended(shop.jobtrack.inspect.job(result.id)) == ("REVOKED", "cancelled")


def test_exit_path_terminated_while_running(shop):
    group, name = shop.jobtrack.groups.create("terminated"), uuid.uuid4().hex
    result = shop.task("wait").apply_async((name,), job_group=group)
    shop.await_running(name)
    shop.app.control.revoke(result.id, terminate=True)
    shop.await_completion(group)
    details = shop.jobtrack.inspect.job(result.id)
    assert ended(details) == ("REVOKED", "terminated")
    assert [attempt.outcome for attempt in details.attempts] == [Outcome.REVOKED]


def test_exit_path_unknown_task(shop):
    group = shop.jobtrack.groups.create("unknown")
    result = shop.app.send_task("shop.nobody_knows", job_group=group)
    shop.await_completion(group)
    details = shop.jobtrack.inspect.job(result.id)
    assert ended(details) == ("FAILURE", "unknown_task")
    assert "knows no task 'shop.nobody_knows'" in str(details.error)


def test_exit_path_publish_failure(shop, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("the broker refuses")

    group, task_id = shop.jobtrack.groups.create("unpublished"), str(uuid.uuid4())
    with monkeypatch.context() as patched:
        patched.setattr("kombu.messaging.Producer.publish", refuse)
        with pytest.raises(OperationalError):
            shop.task("add").apply_async((1, 2), job_group=group, task_id=task_id, retry=False)
    shop.await_completion(group)
    details = shop.jobtrack.inspect.job(task_id)
    assert ended(details) == ("FAILURE", "publish_failed")
    assert "the broker refuses" in str(details.error)


def test_exit_path_cancelled_in_the_queue_never_starts(shop):
    group = shop.jobtrack.groups.create("cancelled")
    result = shop.task("add").apply_async((1, 2), job_group=group, countdown=1)
    assert result.cancel() is True
    shop.await_completion(group)
    details = shop.jobtrack.inspect.job(result.id)
    assert ended(details) == ("REVOKED", "cancelled")
    assert details.attempts == ()


def test_exit_path_cancelled_while_running_is_told_to_the_body(shop):
    group, name = shop.jobtrack.groups.create("told"), uuid.uuid4().hex
    result = shop.task("wait").apply_async((name,), job_group=group)
    shop.await_running(name)
    assert result.cancel() is False
    shop.await_completion(group)
    assert ended(shop.jobtrack.inspect.job(result.id)) == ("SUCCESS", None)


def test_cancelling_a_group_ends_what_is_queued_and_lets_the_running_finish(shop):
    group, name = shop.jobtrack.groups.create("cancelled group"), uuid.uuid4().hex
    running = shop.task("wait").apply_async((name,), job_group=group)
    queued = [shop.task("add").apply_async((1, n), job_group=group, countdown=600) for n in range(5)]
    shop.await_running(name)
    group.cancel()
    assert group.status().revoked == 5
    shop.let_go(name)
    shop.await_completion(group)
    assert str(group.refresh().state) == "CANCELLED"
    assert ended(shop.jobtrack.inspect.job(running.id))[0] == "SUCCESS"
    assert {ended(shop.jobtrack.inspect.job(each.id)) for each in queued} == {("REVOKED", "group_cancelled")}


def test_a_chord_ends_when_a_member_is_cancelled(shop):
    name = uuid.uuid4().hex
    header = [shop.task("add").s(1, 2), shop.task("wait").s(name).set(countdown=600)]
    body = chord(header, app=shop.app)(shop.task("collect").s())
    member = body.parent.results[1]
    assert shop.jobtrack.cancel(member.id) is True
    wait_until(lambda: body.state == "FAILURE", BOUND, "the chord hangs")
    assert isinstance(body.result, ChordError)


def test_a_result_of_a_lost_job_does_not_hang(shop):
    result = shop.task("die").apply_async()
    job = result.wait_settled(BOUND)
    assert str(job.reason) == "worker_lost"
    wait_until(lambda: result.state == "FAILURE", BOUND, "the result backend was not told")
