"""What cancelling asks of the store and of the workers."""

from __future__ import annotations

import pytest

from celery_jobtrack.errors import InvalidPayload, UnknownJob
from celery_jobtrack.integration import cancelling
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing.steps import enqueue, finish, group, retry, start


@pytest.fixture
def asked(small, monkeypatch):
    """What the workers are asked to end."""
    asked = []

    def revoke(ids, *, terminate, signal):
        assert terminate
        asked.append((list(ids), signal))

    monkeypatch.setattr(small.app.control, "revoke", revoke)
    return asked


def test_cancel_asks_the_workers_only_for_a_running_job_and_only_when_told_to(small, asked):
    store, cancel = small.jobtrack.store, small.jobtrack.cancel
    enqueue(store, "queued", message=None)
    start(store, "running", "t")
    start(store, "ended", "e")
    finish(store, "ended", "e")
    assert cancel("queued", terminate=True) is True
    assert cancel("ended", terminate=True) is False
    assert cancel("running") is False
    assert asked == []
    assert cancel("running", terminate=True, signal="SIGKILL") is False
    assert asked == [(["running"], "SIGKILL")]


def test_cancel_records_before_it_asks(small, monkeypatch):
    store = small.jobtrack.store
    start(store, "j", "t")

    def revoke(ids, **_):
        assert store.job("j").cancel_requested
        raise ConnectionError("no broker")

    monkeypatch.setattr(small.app.control, "revoke", revoke)
    with pytest.raises(ConnectionError):
        small.jobtrack.cancel("j", terminate=True)


@pytest.mark.parametrize("signal", ["TERM", "sigterm", "", 9, None])
def test_cancel_refuses_what_is_no_signal_before_anything_is_recorded(small, asked, signal):
    enqueue(small.jobtrack.store, "j")
    with pytest.raises(InvalidPayload, match="is not a signal"):
        small.jobtrack.cancel("j", terminate=True, signal=signal)
    assert small.jobtrack.store.job("j").state is JobState.ENQUEUED


def test_cancel_of_what_was_never_recorded_is_refused(small, asked):
    with pytest.raises(UnknownJob):
        small.jobtrack.cancel("nope", terminate=True)
    assert asked == []


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.REPLACED])
def test_a_job_that_was_cancelled_while_it_ran_does_not_start_again(small, outcome):
    store = small.jobtrack.store
    start(store, "j", "t0")
    assert small.jobtrack.cancel("j") is False
    retry(store, "j", "t0", 1, outcome)
    again = start(store, "j", "t1", retries=1)
    assert again.refusal is Refusal.CANCELLED
    assert (again.job.state, again.job.reason) == (JobState.REVOKED, Reason.CANCELLED)


def test_a_job_that_was_cancelled_and_given_back_does_not_start_again(small):
    store = small.jobtrack.store
    start(store, "j", "t0")
    small.jobtrack.cancel("j")
    finish(store, "j", "t0", Outcome.REQUEUED)
    assert start(store, "j", "t1").refusal is Refusal.CANCELLED


def test_cancelling_a_group_by_force_names_every_running_member(small, asked, monkeypatch):
    monkeypatch.setattr(cancelling, "CHUNK", 2)
    store = small.jobtrack.store
    group(store, "g")
    for number in range(5):
        start(store, f"r{number}", f"t{number}", group_id="g")
    enqueue(store, "queued", group_id="g", message=None)
    start(store, "stranger", "s")
    cancelled = small.jobtrack.groups.get("g").cancel(terminate=True)
    assert cancelled.state == "CANCELLED"
    assert [len(ids) for ids, _ in asked] == [2, 2, 1]
    assert {job_id for ids, _ in asked for job_id in ids} == {f"r{number}" for number in range(5)}
    assert store.job("queued").reason is Reason.GROUP_CANCELLED
