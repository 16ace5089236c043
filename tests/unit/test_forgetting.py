"""What is left of a job that was forgotten: nothing, neither here nor in Celery's result backend."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from celery.backends.filesystem import FilesystemBackend

from celery_jobtrack.errors import Disabled, GroupNotCompleted, InvalidPayload, UnknownJob
from celery_jobtrack.model.forgetting import may_come_back
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.testing.steps import enqueue, run, start, the_group, the_job
from tests.unit.apps import SmallApp


@pytest.fixture
def eager():
    made = SmallApp(task_always_eager=True, task_store_eager_result=True)
    yield made
    made.close()


def _double(app, **options):
    @app.task(name="double", **options)
    def double(number):
        return 2 * number

    return double


def test_forget_deletes_the_job_and_the_result_in_the_backend(eager):
    result = _double(eager, store_result=True).delay(21)
    kept = eager.app.AsyncResult(result.id)
    assert kept.state == "SUCCESS"
    assert eager.jobtrack.forget(result.id) is None
    with pytest.raises(UnknownJob):
        eager.jobtrack.inspect.job(result.id)
    assert eager.app.AsyncResult(result.id).state == "PENDING"
    assert eager.jobtrack.store.results([result.id]) == {}


def test_forget_asks_the_backend_of_the_task(eager, tmp_path):
    backend = FilesystemBackend(app=eager.app, url=f"file://{tmp_path}")
    result = _double(eager, backend=backend).delay(21)
    assert len(list(tmp_path.iterdir())) == 1
    eager.jobtrack.forget(result.id)
    assert list(tmp_path.iterdir()) == []


def test_forget_of_a_result_that_was_never_written_says_nothing(small, tmp_path, caplog):
    _double(small, backend=FilesystemBackend(app=small.app, url=f"file://{tmp_path}"))
    run(small.jobtrack.store, "j", task="double")
    small.jobtrack.forget("j")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_forget_goes_on_without_a_backend_that_can_delete(small, caplog):
    small.app.conf.result_backend = "disabled://"
    run(small.jobtrack.store, "j")
    small.jobtrack.forget("j")
    assert small.jobtrack.store.job("j") is None
    assert caplog.records == []


def test_backend_that_fails_is_told_of_in_the_log(small, monkeypatch, caplog):
    def fail(_):
        raise ConnectionError("gone")

    run(small.jobtrack.store, "j")
    monkeypatch.setattr(small.app.backend, "forget", fail)
    small.jobtrack.forget("j")
    assert "job j is forgotten, but its result in the result backend is not" in caplog.text
    assert small.jobtrack.store.job("j") is None


def test_result_in_the_backend_stays_if_the_job_is_not_forgotten(small, monkeypatch):
    asked = []
    monkeypatch.setattr(small.app.backend, "forget", asked.append)
    enqueue(small.jobtrack.store, "j")
    with pytest.raises(InvalidPayload, match=r"job j \(shop.resize\) is ENQUEUED, and only what has ended"):
        small.jobtrack.forget("j")
    assert asked == []


def test_forget_of_celerys_result_leaves_the_job(eager):
    result = _double(eager).apply_async((21,))
    eager.jobtrack.inspect.job(result.id)
    eager.app.AsyncResult(result.id).forget()
    assert eager.jobtrack.inspect.job(result.id).job.state is JobState.SUCCESS


def test_result_of_a_tracked_job_forgets_as_celerys_does(small):
    task = _double(small)
    result = task.delay(21)
    small.app.backend.store_result(result.id, 42, "SUCCESS")
    run(small.jobtrack.store, result.id)
    result.forget()
    assert small.app.AsyncResult(result.id).state == "PENDING"
    assert result.job().state is JobState.SUCCESS


def test_forget_refuses_what_stands_for_a_group(small):
    run(small.jobtrack.store, "child", task=GROUP_TASK)
    with pytest.raises(InvalidPayload, match="job child stands for a group"):
        small.jobtrack.forget("child")


@pytest.mark.parametrize("job_id", ["", 7, None, "x" * 300])
def test_forget_refuses_what_is_no_id(small, job_id):
    with pytest.raises(InvalidPayload, match="a job's id must"):
        small.jobtrack.forget(job_id)


def test_forget_needs_tracking(small):
    small.app.conf.jobtrack_enabled = False
    with pytest.raises(Disabled):
        small.jobtrack.forget("j")


def _batch_whose_finally_has_ended(app, *, closed):
    """A batch that has completed; its ``then`` has ended, too, if it is closed."""
    task = _double(app)
    batch = app.jobtrack.batch([task.s(1)]).then(task.si(2)).finally_(task.si(3)).dispatch()
    (member,) = batch.members().items
    run(app.jobtrack.store, member.id, group_id=batch.id, task="double")
    app.jobtrack.runtime.tracker.delivery.deliver_due()
    then, last = sorted(batch.callbacks(), key=lambda each: each.kind, reverse=True)
    run(app.jobtrack.store, last.job_id, task="double")
    if closed:
        run(app.jobtrack.store, then.job_id, task="double")
        app.jobtrack.runtime.tracker.closing.look_at(batch.id)
    return batch, last.job_id


def test_callback_is_not_forgotten_while_its_group_would_send_it_again(small):
    batch, job_id = _batch_whose_finally_has_ended(small, closed=False)
    with pytest.raises(
        GroupNotCompleted, match=f"job {job_id} .* is a callback of group 'Batch' .{batch.id}."
    ):
        small.jobtrack.forget(job_id)
    assert small.jobtrack.store.job(job_id) is not None


def test_callback_of_a_group_that_is_closed_is_forgotten_and_not_sent_again(small):
    batch, job_id = _batch_whose_finally_has_ended(small, closed=True)
    assert the_group(small.jobtrack.store, batch.id).closed_at is not None
    small.jobtrack.forget(job_id)
    small.jobtrack.check()
    assert small.jobtrack.store.job(job_id) is None


def test_retry_of_a_job_that_is_forgotten_meanwhile_says_that_it_is_unknown(small, monkeypatch):
    store = small.jobtrack.store
    enqueue(store, "j")
    run(store, "j", Outcome.FAILURE)
    read = store.message

    def forgotten_when_read(job_id):
        message = read(job_id)
        small.jobtrack.forget(job_id)
        return message

    monkeypatch.setattr(store, "message", forgotten_when_read)
    monkeypatch.setattr("celery_jobtrack.integration.redriving._of_a_new_run", lambda *_: Kept())
    with pytest.raises(UnknownJob):
        small.jobtrack.retry("j")
    assert small.queued() == 0


class Kept:
    def pack(self):
        return b"kept"


def test_job_that_was_replaced_may_come_back(small):
    start(small.jobtrack.store, "j", "t")
    job = the_job(small.jobtrack.store, "j")
    assert not may_come_back(replace(job, state=JobState.REVOKED))
    assert may_come_back(replace(job, state=JobState.REVOKED, published_at=None))
