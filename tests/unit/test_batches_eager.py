"""Batches of an eager app: members, callbacks and batches inside run at once, in this process."""

from __future__ import annotations

import pytest

from celery_jobtrack.errors import GroupCompleted


@pytest.fixture
def ran():
    return []


@pytest.fixture
def tasks(eager, ran):
    class Tasks:
        @staticmethod
        @eager.task(name="add")
        def add(x, y):
            return x + y

        @staticmethod
        @eager.task(name="error")
        def error():
            raise ValueError("boom")

        @staticmethod
        @eager.task(name="told")
        def told(group_id, what):
            ran.append((what, group_id))

        @staticmethod
        @eager.task(name="apart")
        def apart(what):
            ran.append((what, None))

        @staticmethod
        @eager.task(name="adds", bind=True)
        def adds(self, number):
            self.job_group.add([Tasks.add.s(n, n) for n in range(number)])

        @staticmethod
        @eager.task(name="broken")
        def broken(group_id):
            raise RuntimeError("callback")

    return Tasks


def with_callbacks(tasks, pending):
    told = tasks.told
    return (
        pending.before(told.s("before"))
        .progress(told.s("progress"), every=2)
        .then(told.s("then"))
        .catch(told.s("catch"))
        .finally_(told.s("finally"))
    )


def kinds(ran, batch):
    return [what for what, group_id in ran if group_id == batch.id]


def test_eager_batch_runs_its_callbacks_in_their_order(eager, tasks, ran):
    batch = with_callbacks(tasks, eager.jobtrack.batch([tasks.add.s(1, 2)] * 3)).dispatch()
    assert kinds(ran, batch) == ["before", "progress", "then", "finally"]
    assert (batch.refresh().outcome, batch.closed_at is None) == ("SUCCEEDED", False)


def test_eager_batch_stops_at_its_first_failure(eager, tasks, ran):
    members = [tasks.add.s(1, 2), tasks.error.s(), tasks.add.s(3, 4)]
    batch = with_callbacks(tasks, eager.jobtrack.batch(members)).dispatch()
    assert kinds(ran, batch) == ["before", "catch", "progress", "finally"]
    assert (batch.refresh().outcome, batch.status().total) == ("FAILED", 2)


def test_eager_batch_that_allows_failures_goes_on(eager, tasks, ran):
    members = [tasks.error.s(), tasks.add.s(1, 2), tasks.error.s()]
    batch = with_callbacks(tasks, eager.jobtrack.batch(members)).allow_failures().dispatch()
    assert kinds(ran, batch) == ["before", "catch", "progress", "finally"]
    assert (batch.status().failed, batch.status().succeeded) == (2, 1)


def test_eager_batches_nest_and_a_member_may_add_to_its_own(eager, tasks, ran):
    inner = with_callbacks(tasks, eager.jobtrack.batch([tasks.adds.s(3)], title="inner"))
    outer = with_callbacks(tasks, eager.jobtrack.batch([inner, tasks.add.s(1, 1)], title="outer")).dispatch()
    (child_id,) = (job.id for job in outer.members().items if job.task == "celery_jobtrack.group")
    child = eager.jobtrack.groups.get(child_id)
    assert (child.outcome, child.status().total) == ("SUCCEEDED", 4)
    assert kinds(ran, child) == ["before", "progress", "progress", "then", "finally"]
    assert kinds(ran, outer) == ["before", "progress", "then", "finally"]
    assert outer.refresh().outcome == "SUCCEEDED"


def test_immutable_callback_gets_its_own_arguments_only(eager, tasks, ran):
    eager.jobtrack.batch([tasks.add.s(1, 2)]).then(tasks.apart.si("then")).dispatch()
    assert ran == [("then", None)]


def test_callback_that_fails_disturbs_nobody(eager, tasks, ran):
    eager.app.conf.task_eager_propagates = True
    batch = eager.jobtrack.batch([tasks.add.s(1, 2)]).then(tasks.broken.s()).finally_(tasks.told.s("finally"))
    batch = batch.dispatch()
    assert kinds(ran, batch) == ["finally"]
    assert batch.refresh().closed_at is not None
    assert [str(callback.job.state) for callback in batch.callbacks()] == ["FAILURE", "SUCCESS"]


def test_empty_batch_succeeds(eager, tasks, ran):
    batch = with_callbacks(tasks, eager.jobtrack.batch()).dispatch()
    assert kinds(ran, batch) == ["before", "then", "finally"]
    with pytest.raises(GroupCompleted, match="has completed"):
        batch.add([tasks.add.s(1, 2)])


def test_standing_group_has_its_callbacks_in_every_generation(eager, tasks, ran):
    told = tasks.told
    about = {"then": told.s("then"), "finally_": [told.s("a"), told.s("b")]}
    group = eager.jobtrack.groups.get_or_create("standing", **about)
    assert eager.jobtrack.groups.get_or_create("standing", **about) == group
    for _ in range(2):
        tasks.add.apply_async((1, 2), job_group=group)
    assert kinds(ran, group) == ["then", "a", "b"] * 2


def test_reopened_batch_keeps_its_numbers_and_ends_again(eager, tasks, ran):
    batch = with_callbacks(tasks, eager.jobtrack.batch([tasks.add.s(1, 2)] * 3)).dispatch()
    batch.reopen().add([tasks.add.s(3, 4)])
    status = batch.status()
    assert (status.total, status.succeeded, status.generation) == (4, 4, 2)
    assert kinds(ran, batch).count("then") == 2


@pytest.mark.parametrize("fails", [False, True])
def test_callback_of_a_plain_task_runs_once_and_is_recorded(eager, tasks, ran, fails):
    @eager.app.task(name="plain", shared=False)
    def plain(group_id):
        ran.append(("plain", group_id))
        if fails:
            raise ValueError("plain")

    batch = eager.jobtrack.batch([tasks.add.s(1, 2)]).then(plain.s()).dispatch()
    assert kinds(ran, batch) == ["plain"]
    eager.jobtrack.check()
    assert kinds(ran, batch) == ["plain"]
    (callback,) = batch.callbacks()
    assert str(callback.job.state) == ("FAILURE" if fails else "SUCCESS")
    assert batch.refresh().closed_at is not None
