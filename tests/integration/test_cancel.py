"""Cancelling with real workers: what is queued never starts, and what runs ends when it is asked to."""

from __future__ import annotations

import json

import pytest

from celery_jobtrack.model.state import Outcome
from tests.waiting import wait_until

BOUND = 40.0


def ended(result):
    job = result.wait_settled(BOUND)
    return str(job.state), job.reason and str(job.reason)


def outcomes(shop, result):
    return [attempt.outcome for attempt in shop.jobtrack.inspect.job(result.id).attempts]


def await_taken(shop):
    """No message is in the broker: workers have them all."""
    with shop.app.connection_for_read() as connection:
        wait_until(
            lambda: connection.default_channel.queue_declare("celery", passive=True).message_count == 0,
            BOUND,
            "messages are left in the broker",
        )


def await_refused(result, *workers):
    """Its message was looked at by one of these workers, and the body was not run."""
    said = f"job {result.id} ({result.job().task}) is not run"
    wait_until(
        lambda: any(said in worker.tail(1000) for worker in workers),
        BOUND,
        f"no worker has refused {result.id}",
    )


def test_a_job_cancelled_in_the_queue_never_starts_also_when_all_workers_restarted(shop):
    with shop.worker() as before:
        held = shop.task("deaf").apply_async(("eta",), countdown=5)
        # A worker takes a job with an eta at once, keeps it in its memory, and gives it back when it stops.
        await_taken(shop)
        assert held.cancel() is True
    queued = shop.task("deaf").apply_async(("queued",))
    assert queued.cancel() is True
    with shop.worker() as one, shop.worker() as two:
        for result in (queued, held):
            await_refused(result, before, one, two)
    for result in (queued, held):
        assert ended(result) == ("REVOKED", "cancelled")
        assert outcomes(shop, result) == []
    assert not list(shop.folder.glob("*.running"))


def test_a_job_that_is_parked_for_a_retry_never_starts_again(shop):
    shop.let_go("body")
    with shop.worker() as before:
        result = shop.task("retry_after").apply_async(("body", 3))
        wait_until(lambda: result.job().state == "RETRY", BOUND, "it does not retry")
        await_taken(shop)
        assert result.cancel() is True
    # Whichever has it when its time comes: the one that stops, or the next.
    with shop.worker() as after:
        await_refused(result, before, after)
    assert ended(result) == ("REVOKED", "cancelled")
    assert outcomes(shop, result) == [Outcome.RETRY]


def test_a_job_that_is_cancelled_while_it_runs_and_retries_does_not_start_again(shop):
    with shop.worker() as worker:
        result = shop.task("retry_after").apply_async(("body", 0))
        shop.await_running("body")
        assert result.cancel() is False
        shop.let_go("body")
        assert ended(result) == ("REVOKED", "cancelled")
        await_refused(result, worker)
    assert outcomes(shop, result) == [Outcome.RETRY]


def test_a_running_body_sees_that_it_was_cancelled(shop):
    with shop.worker():
        result = shop.task("wait").apply_async(("body",))
        shop.await_running("body")
        assert result.cancel() is False
        assert ended(result) == ("SUCCESS", None)
        assert result.get(BOUND) == "cancelled"


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_a_running_job_is_terminated_when_asked(shop, signal):
    with shop.worker():
        group = shop.jobtrack.groups.create("terminated")
        result = shop.task("deaf").apply_async(("body",), job_group=group)
        shop.await_running("body")
        assert result.cancel(terminate=True, signal=signal) is False
        assert ended(result) == ("REVOKED", "terminated")
        shop.await_completion(group)
        assert outcomes(shop, result) == [Outcome.REVOKED]
        assert ended(shop.task("add").delay(1, 2)) == ("SUCCESS", None)


def test_a_late_acknowledged_job_that_is_terminated_does_not_run_again(shop):
    with shop.worker():
        result = shop.task("deaf_late").apply_async(("body",))
        shop.await_running("body")
        result.cancel(terminate=True)
        assert ended(result) == ("REVOKED", "terminated")
    with shop.worker():
        await_taken(shop)
        assert ended(shop.task("add").delay(1, 2)) == ("SUCCESS", None)
    assert ended(result) == ("REVOKED", "terminated")
    assert outcomes(shop, result) == [Outcome.REVOKED]


def test_the_running_members_of_a_group_are_terminated_when_asked(shop):
    # On this broker a worker hears nobody while each of its processes is busy and one more job waits.
    with shop.worker("-c", "3"):
        group = shop.jobtrack.groups.create("all of it")
        running = [shop.task("deaf").apply_async((f"m{n}",), job_group=group) for n in range(2)]
        queued = [shop.task("add").apply_async((1, n), job_group=group, countdown=600) for n in range(3)]
        for number in range(2):
            shop.await_running(f"m{number}")
        group.cancel(terminate=True)
        shop.await_completion(group)
        assert {ended(result) for result in running} == {("REVOKED", "terminated")}
        assert {ended(result) for result in queued} == {("REVOKED", "group_cancelled")}


def test_a_greenlet_is_terminated_when_asked(shop):
    with shop.worker("-P", "gevent"):
        result = shop.task("deaf").apply_async(("body",))
        shop.await_running("body")
        result.cancel(terminate=True)
        assert ended(result) == ("REVOKED", "terminated")
        assert outcomes(shop, result) == [Outcome.REVOKED]
        assert ended(shop.task("add").delay(1, 2)) == ("SUCCESS", None)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_body_that_cannot_be_terminated_is_told(shop, pool):
    with shop.worker("-P", pool):
        result = shop.task("wait").apply_async(("body",))
        shop.await_running("body")
        assert result.cancel(terminate=True) is False
        assert ended(result) == ("SUCCESS", None)
        assert result.job().cancel_requested
        assert ended(shop.task("add").delay(1, 2)) == ("SUCCESS", None)


def test_the_command_terminates(shop):
    with shop.worker():
        result = shop.task("deaf").apply_async(("body",))
        shop.await_running("body")
        answer = json.loads(shop.command("job", result.id, "--cancel", "--terminate", "--json"))
        assert answer["job"]["cancel_requested"] is True
        assert ended(result) == ("REVOKED", "terminated")
