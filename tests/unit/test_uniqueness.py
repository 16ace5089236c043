"""Jobs that are alike: what tasks and dispatches say about them, and what becomes of the second one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack import Job, JobState, Reason
from celery_jobtrack.errors import ConfigurationError, InvalidPayload
from celery_jobtrack.integration.claims import claims_of
from celery_jobtrack.model.lock import Kind, OnConflict
from celery_jobtrack.model.unique import Unique


def _nothing():
    """Takes nothing."""


def _number(number):
    return number


def _x(x):
    return x


@pytest.fixture
def report(small):
    @small.task(name="report", unique_for=60)
    def report(month, deep=False):
        return month, deep

    return report


def claim(task, *args, **given):
    (found,) = claims_of(task, task.name, args, {}, given)
    return found


def test_second_dispatch_is_skipped_and_names_the_first(small, report):
    first, second, other = report.delay(11), report.delay(month=11), report.delay(12)
    assert small.queued() == 2
    job = second.job()
    assert (job.state, job.reason, job.blocked_by) == (JobState.SKIPPED, Reason.DUPLICATE, first.id)
    assert other.job().state is JobState.ENQUEUED


def test_what_a_task_declares_becomes_its_claim(report):
    found = claim(report, 11)
    assert (found.kind, found.lease, found.on_conflict) == (Kind.UNIQUE, 60.0, OnConflict.SKIP)
    assert (found.until_start, found.limit) == (False, 1)
    assert found.key.startswith("alike:report:")


def test_dispatch_goes_before_the_task(report):
    found = claim(report, 11, unique_for=timedelta(minutes=5), unique_until="start", unique_key="m{month}")
    assert (found.lease, found.until_start, found.key) == (300.0, True, "alike:report:m11")


def test_until_the_start_needs_no_time(small):
    task = small.task(name="once", unique_until="start")(_nothing)
    assert (claim(task).lease, claim(task).until_start) == (None, True)


def test_builder_says_the_same(small):
    plain = small.task(name="plain")(_number)
    first = plain.job(1).unique_for(60, until="start", key="n{number}").dispatch()
    second = plain.job(1).unique_for(60, until="start", key="n{number}").dispatch()
    assert plain.delay(1).job().state is JobState.ENQUEUED
    assert (first.job().state, second.job().state) == (JobState.ENQUEUED, JobState.SKIPPED)


def test_many_at_once_are_unique_too(small, report):
    done = small.jobtrack.dispatch_many(report.s(month) for month in (1, 2, 1, 2, 3))
    assert (done.total, done.sent, done.held_back, done.not_sent) == (5, 3, 2, 0)
    assert small.queued() == 3
    assert str(done) == "3 of 5 sent, 2 held back"


def test_member_of_a_batch_that_is_skipped_is_counted(small, report):
    report.delay(1)
    batch = small.jobtrack.batch([report.s(1), report.s(2)]).dispatch()
    status = batch.status()
    assert (status.total, status.skipped, status.outstanding) == (2, 1, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0, "end", None), "unique_for is a number of seconds or a timedelta, more than 0, not 0"),
        ((True, "end", None), "unique_for is a number of seconds"),
        ((60, "done", None), 'unique_until is "end" or "start", not \'done\''),
        ((60, "end", ""), "key is empty"),
        ((60, "end", 3), "a template, a function or None"),
        ((60, "end", "{n"), "the key '{n' is no template: expected '}' before end of string"),
    ],
)
def test_builder_refuses_what_is_wrong(report, given, said):
    seconds, until, key = given
    with pytest.raises(InvalidPayload, match=said):
        report.job(1).unique_for(seconds, until=until, key=key)


def test_wrong_option_of_a_dispatch_is_refused_and_nothing_is_recorded(small, report):
    with pytest.raises(InvalidPayload, match="unique_for is a number"):
        report.apply_async((1,), unique_for="soon")
    assert small.recorded() == []


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"unique_for": -1}, "task wrong: unique_for is a number"),
        ({"unique_until": "never"}, "task wrong: unique_until is"),
        ({"unique_key": "{x}"}, "unique_key says nothing without unique_for"),
        ({"unique_for": 5, "unique_key": "{y}"}, "names 'y', and the task has no such argument"),
    ],
)
def test_wrong_declaration_is_refused_when_a_worker_starts(small, declared, said):
    small.task(name="wrong", **declared)(_x)
    small.app.finalize()
    with pytest.raises(ConfigurationError, match=said):
        small.jobtrack.runtime.check_configuration()


def test_function_as_key_is_given_the_arguments_of_the_job(small):
    def of(customer, reason=None):
        return f"customer-{customer}-{reason}"

    @small.task(name="sync", unique_for=60, unique_key=of)
    def sync(customer, reason=None):
        return customer, reason

    assert claim(sync, "acme").key == "alike:sync:customer-acme-None"
    small.app.finalize()
    small.jobtrack.runtime.check_configuration()
    first, other, second = sync.delay("acme"), sync.delay("other"), sync.delay("acme")
    states = [result.job().state for result in (first, other, second)]
    assert states == [JobState.ENQUEUED, JobState.ENQUEUED, JobState.SKIPPED]


@pytest.mark.parametrize("function", [lambda: "x", lambda a, b: f"{a}{b}"])
def test_function_that_cannot_be_given_the_arguments_is_refused_when_a_worker_starts(small, function):
    small.task(name="wrong", unique_for=5, unique_key=function)(_x)
    small.app.finalize()
    with pytest.raises(ConfigurationError, match="task wrong: the function of its key takes"):
        small.jobtrack.runtime.check_configuration()


def test_function_that_raises_is_named_with_its_task_and_nothing_is_recorded(small):
    task = small.task(name="broken", unique_for=5, unique_key=lambda x: str(1 // x))(_x)
    with pytest.raises(InvalidPayload, match="a key of task broken raised ZeroDivisionError"):
        task.delay(0)
    assert small.recorded() == []


def test_class_style_job_is_unique_too(small):
    class Sync(Job):
        unique_for = 60
        run_late = True
        global_rate = "1/s"

        def run(self):
            return None

    small.jobtrack.jobs.register(Sync)
    first, second = (small.jobtrack.dispatch("sync", customer="acme") for _ in range(2))
    assert (first.job().state, second.job().state) == (JobState.ENQUEUED, JobState.SKIPPED)
    assert small.app.tasks["sync"].global_rate == "1/s"
    assert small.app.tasks["sync"].run_late is True


def test_unique_without_words_is_until_the_end():
    assert Unique() == Unique(seconds=None, until="end", key=None)
