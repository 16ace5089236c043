"""Eager jobs are tracked like any other, and their groups announce themselves in this process."""

from __future__ import annotations

import pytest
from celery import chain, chord, group
from celery.exceptions import Ignore, Reject

from celery_jobtrack import events
from celery_jobtrack.errors import GroupNotSet


@pytest.fixture
def heard():
    calls = []

    def started(sender, *, group, event_id, **_):
        calls.append("started")

    def completed(sender, *, group, event_id, **_):
        calls.append("completed")

    with events.job_group_started.connected_to(started), events.job_group_completed.connected_to(completed):
        yield calls


@pytest.fixture
def tasks(eager):
    class Tasks:
        @staticmethod
        @eager.task(name="add")
        def add(x, y):
            return x + y

        @staticmethod
        @eager.task(name="flaky", bind=True, max_retries=3)
        def flaky(self, failures):
            if self.request.retries < failures:
                raise self.retry(exc=ConnectionError("again"), countdown=0)
            return self.attempt

        @staticmethod
        @eager.task(name="error")
        def error():
            raise ValueError("boom")

        @staticmethod
        @eager.task(name="leave")
        def leave(how):
            raise {"ignore": Ignore(), "reject": Reject("no", requeue=True)}[how]

        @staticmethod
        @eager.task(name="replaced", bind=True)
        def replaced(self, how):
            one = eager.app.signature("add", (1, 2))
            raise self.replace(one if how == "task" else one | eager.app.signature("add", (3,)))

        @staticmethod
        @eager.task(name="total")
        def total(numbers):
            return sum(numbers)

    return Tasks


@pytest.mark.parametrize(
    ("name", "args", "state", "reason", "attempts"),
    [
        ("add", (1, 2), "SUCCESS", None, 1),
        ("flaky", (2,), "SUCCESS", None, 3),
        ("flaky", (9,), "FAILURE", "error", 4),
        ("error", (), "FAILURE", "error", 1),
        ("leave", ("ignore",), "SKIPPED", "ignored", 1),
        ("leave", ("reject",), "FAILURE", "rejected", 1),
    ],
)
def test_eager_job_is_settled_and_completes_its_group(
    eager, tasks, heard, name, args, state, reason, attempts
):
    ours = eager.jobtrack.groups.create("eager")
    result = getattr(tasks, name).apply_async(args, job_group=ours)
    job = eager.jobtrack.inspect.job(result.id)
    assert (str(job.state), job.reason and str(job.reason)) == (state, reason)
    assert len(job.attempts) == attempts
    assert not any(attempt.is_open for attempt in job.attempts)
    assert heard == ["started", "completed"]
    assert ours.refresh().is_over


@pytest.mark.parametrize("how", ["task", "chain"])
def test_eager_replacement_settles_the_job_as_celery_does(eager, tasks, heard, how):
    # Celery's own eager replace waits for a result inside of a task, and fails; see Task.replace.
    ours = eager.jobtrack.groups.create("eager")
    result = tasks.replaced.apply_async((how,), job_group=ours)
    assert str(eager.jobtrack.inspect.job(result.id).state) == result.state
    assert heard == ["started", "completed"]


def test_eager_canvas_gives_what_it_gives_without_tracking(tasks):
    add, total = tasks.add, tasks.total
    assert chain(add.s(1, 1), add.s(2)).apply_async().get() == 4
    assert group(add.s(1, 1), add.s(2, 2)).apply_async().get() == [2, 4]
    assert chord([add.s(1, 1), add.s(2, 2)])(total.s()).get() == 6


def test_apply_is_tracked_without_task_always_eager(small, heard):
    @small.task(name="add")
    def add(x, y):
        return x + y

    ours = small.jobtrack.groups.create("applied")
    result = add.apply((1, 2), job_group=ours)
    assert result.get() == 3
    assert str(small.jobtrack.inspect.job(result.id).state) == "SUCCESS"
    assert heard == ["started", "completed"]


def test_calling_a_task_as_a_function_is_not_a_job(eager, tasks):
    assert tasks.add(1, 2) == 3
    assert eager.recorded() == []


def test_eager_job_without_its_group_is_refused(eager):
    @eager.task(name="member", group_required=True)
    def member():
        return None

    with pytest.raises(GroupNotSet):
        member.delay()
    assert eager.recorded() == []


def test_listener_that_raises_does_not_disturb_the_job(eager, tasks, caplog):
    def broken(sender, **_):
        raise RuntimeError("listener")

    with events.job_succeeded.connected_to(broken):
        assert tasks.add.delay(1, 2).get() == 3
    assert "raised; the job goes on" in caplog.text
