"""What jobs return, kept in the store on request."""

from __future__ import annotations

import pytest

from celery_jobtrack import Failure, NotKept, Pending, Result
from celery_jobtrack.errors import GroupNotCompleted, InvalidPayload, UnknownJob
from celery_jobtrack.model.state import JobState, Reason


@pytest.fixture
def tasks(eager):
    class Tasks:
        @staticmethod
        @eager.task(name="double", store_result=True)
        def double(number):
            if number < 0:
                raise ValueError(f"{number} is below zero")
            return {"twice": 2 * number}

        @staticmethod
        @eager.task(name="plain")
        def plain():
            return "not asked for"

        @staticmethod
        @eager.task(name="large", store_result=True)
        def large(size):
            return "x" * size

        @staticmethod
        @eager.task(name="odd", store_result=True)
        def odd():
            return object()

        @staticmethod
        @eager.task(name="again", bind=True, store_result=True, max_retries=2)
        def again(self):
            if self.request.retries < 1:
                raise self.retry(exc=ConnectionError("again"), countdown=0)
            return "at last"

    return Tasks


def result(eager, sent):
    return eager.jobtrack.inspect.result(sent.id)


def test_result_of_a_job_is_given_back_as_it_was(eager, tasks):
    assert result(eager, sent := tasks.double.delay(21)) == Result(
        job_id=sent.id, state=JobState.SUCCESS, value={"twice": 42}
    )


def test_result_of_a_retried_job_is_that_of_its_last_attempt(eager, tasks):
    sent = tasks.again.apply(throw=False)
    assert result(eager, sent).value == "at last"


def test_result_of_a_failed_job_is_its_failure(eager, tasks):
    found = result(eager, sent := tasks.double.delay(-1))
    assert (type(found), found.job_id, found.state, found.reason) == (
        Failure,
        sent.id,
        JobState.FAILURE,
        Reason.ERROR,
    )
    assert str(found.error) == "ValueError: -1 is below zero"


def test_result_is_not_kept_unless_the_task_says_so(eager, tasks):
    sent = tasks.plain.delay()
    assert isinstance(result(eager, sent), NotKept)
    assert not eager.jobtrack.store.results([sent.id])


def test_result_is_kept_or_not_as_the_dispatch_says(eager, tasks):
    assert result(eager, tasks.plain.apply_async(store_result=True)).value == "not asked for"
    assert isinstance(result(eager, tasks.double.apply_async((1,), store_result=False)), NotKept)


def test_result_cannot_be_asked_for_by_a_word(eager, tasks):
    with pytest.raises(InvalidPayload, match="store_result must be True or False"):
        tasks.plain.apply_async(store_result="yes")


def test_result_of_a_job_that_was_never_recorded(eager):
    with pytest.raises(UnknownJob):
        eager.jobtrack.inspect.result("never")


@pytest.mark.parametrize("size", [65_534, 65_535])
def test_result_that_is_too_large_leaves_the_job_a_success(eager, tasks, caplog, size):
    sent = tasks.large.delay(size)
    found = result(eager, sent)
    assert eager.jobtrack.inspect.job(sent.id).state == JobState.SUCCESS
    warnings = [record for record in caplog.records if "is not kept" in record.message]
    if size + 2 <= 65_536:  # with its quotes
        assert (found.value, warnings) == ("x" * size, [])
    else:
        assert found.why == "it has 65537 bytes, and jobtrack_result_max_bytes is 65536"
        assert len(warnings) == 1


def test_result_that_cannot_be_serialised_leaves_the_job_a_success(eager, tasks, caplog):
    sent = tasks.odd.delay()
    assert eager.jobtrack.inspect.job(sent.id).state == JobState.SUCCESS
    assert result(eager, sent).why.startswith("it cannot be kept as json: ")
    assert len([record for record in caplog.records if "is not kept" in record.message]) == 1


def test_result_in_bytes_survives(eager):
    eager.app.conf.accept_content = ["pickle", "json"]

    @eager.task(name="pickled", store_result=True, serializer="pickle")
    def pickled():
        return {1: b"\xff\n\x00"}

    assert result(eager, pickled.delay()).value == {1: b"\xff\n\x00"}


def test_result_that_is_damaged_is_told_of_and_does_not_raise(eager, tasks, monkeypatch):
    sent = tasks.double.delay(1)
    damaged = b'{"v": 1, "type": "application/json", "encoding": "utf-8", "text": true}\n{'
    monkeypatch.setattr(eager.jobtrack.store, "results", lambda _ids: {sent.id: damaged})
    assert result(eager, sent).why.startswith("it is kept and cannot be read here: ")


def test_group_gives_results_in_the_order_of_dispatch(eager, tasks):
    group = eager.jobtrack.groups.create("numbers", standing=False)
    with group.filling():
        for number in (3, -1, 1, 2):
            tasks.double.apply_async((number,), job_group=group)
        tasks.plain.apply_async(job_group=group)
    group.seal()
    found = list(group.results())
    assert [getattr(each, "value", type(each)) for each in found] == [
        {"twice": 6},
        Failure,
        {"twice": 2},
        {"twice": 4},
        NotKept,
    ]


def test_group_reads_its_results_page_by_page(eager, tasks, monkeypatch):
    monkeypatch.setattr("celery_jobtrack.integration.returned.PAGE", 2)
    group = eager.jobtrack.groups.create("numbers", standing=False)
    with group.filling():
        for number in range(5):
            tasks.double.apply_async((number,), job_group=group)
    group.seal()
    asked = []
    ask = eager.jobtrack.store.results
    monkeypatch.setattr(eager.jobtrack.store, "results", lambda ids: asked.append(len(ids)) or ask(ids))
    found = group.results()
    assert next(found).value == {"twice": 0}
    assert asked == [2]
    assert [each.value["twice"] for each in found] == [2, 4, 6, 8]
    assert asked == [2, 2, 1]


def test_group_gives_the_results_of_its_present_generation(eager, tasks):
    group = eager.jobtrack.groups.create("again and again")
    tasks.double.apply_async((1,), job_group=group)
    tasks.double.apply_async((2,), job_group=group)
    assert [each.value for each in group.results()] == [{"twice": 4}]


def test_group_that_has_not_completed_gives_results_on_request_only(small):
    @small.task(name="double", store_result=True)
    def double(number):
        return 2 * number

    group = small.jobtrack.groups.create("numbers", standing=False)
    first = double.apply_async((1,), job_group=group)
    with pytest.raises(GroupNotCompleted, match=r"1 of 1 jobs outstanding"):
        group.results()
    assert list(group.results(partial=True)) == [Pending(job_id=first.id, state=JobState.ENQUEUED)]
