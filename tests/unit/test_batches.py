"""Batches before any worker: what is refused, what is recorded, what an interrupted dispatch leaves."""

from __future__ import annotations

import logging
import time
import uuid
from types import SimpleNamespace

import pytest
from celery import chain, signature
from celery.worker.state import revoked
from kombu.exceptions import OperationalError

from celery_jobtrack.errors import (
    DispatchFailed,
    GroupCancelled,
    GroupCompleted,
    GroupNotCompleted,
    InvalidPayload,
    UnknownGroup,
    UnknownJob,
)
from celery_jobtrack.integration import bulk
from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.kept import Kept
from celery_jobtrack.integration.request import TrackedRequest
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import FinishRequest, Origin, StartRequest
from celery_jobtrack.model.state import Outcome, Reason
from tests.unit.apps import SmallApp
from tests.waiting import wait_until


def add(x, y):
    return x + y


def told(group_id, what):
    return None


def nothing():
    return None


@pytest.fixture
def tasks(small):
    class Tasks:
        add = small.task(name="add")(globals()["add"])
        told = small.task(name="told")(globals()["told"])
        member = small.task(name="member", group_required=True)(nothing)
        forgotten = small.task(name="forgotten", keep_message=False)(nothing)

    return Tasks


def run(small, job_id, outcome=Outcome.SUCCESS, error="ValueError"):
    """What a worker records that runs a job; its group's events are delivered."""
    runtime = small.jobtrack.runtime
    job = runtime.store.job(job_id)
    origin = Origin(job_id=job_id, task=job.task, run=job.run, group_id=job.group_id)
    start = StartRequest(origin=origin, token=uuid.uuid4().hex, worker=runtime.worker())
    failed = outcome is Outcome.FAILURE
    with runtime.eagerly():
        assert runtime.tracker.start(start).admitted, runtime.store.job(job_id)
        finish = FinishRequest(
            start=start,
            outcome=outcome,
            reason=Reason.ERROR if failed else None,
            error=ErrorInfo(type=error, message="boom") if failed else None,
        )
        runtime.tracker.finish(finish)
        runtime.tracker.delivery.deliver_due()


def states(group):
    return sorted(str(job.state) for job in group.members(limit=1000).items)


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda small, tasks: tasks.add, r"then callback 1 must be a signature.*add\.s"),
        (lambda small, tasks: "add", "then callback 1 must be a signature"),
        (lambda small, tasks: signature("nobody", app=small.app), "'nobody', a task that app 'small'"),
        (lambda small, tasks: chain(tasks.add.s(1, 2), tasks.add.s(3)), "then callback 1 is a chain"),
        (lambda small, tasks: tasks.told.s(object()), r"then callback 1 \(told\) cannot be sent as json"),
        (lambda small, tasks: tasks.member.s(), "would run in a group"),
        (lambda small, tasks: tasks.told.s(1).set(job_group="g"), "would run in a group"),
    ],
)
def test_callback_that_cannot_be_one_is_refused_at_once(small, tasks, given, said):
    with pytest.raises(InvalidPayload, match=said):
        small.jobtrack.batch().then(given(small, tasks))
    with pytest.raises(InvalidPayload, match=said):
        small.jobtrack.groups.create("g", then=given(small, tasks))
    assert (small.jobtrack.groups.list().items, small.queued()) == ((), 0)


def test_refused_callback_is_named_by_its_number(small, tasks):
    pending = small.jobtrack.batch().catch(tasks.told.s(1)).catch(tasks.told.s(2))
    with pytest.raises(InvalidPayload, match="catch callback 3"):
        pending.catch(3)


@pytest.mark.parametrize("every", [0, -1, True, 1.5, "5"])
def test_progress_needs_a_whole_number_of_jobs(small, tasks, every):
    with pytest.raises(InvalidPayload, match="every must be a whole number of jobs"):
        small.jobtrack.batch().progress(tasks.told.s("x"), every=every)


@pytest.mark.parametrize(
    ("about", "said"), [({"title": ""}, "title"), ({"payload": object()}, "payload"), ({"title": 3}, "title")]
)
def test_batch_that_cannot_be_kept_sends_nothing(small, tasks, about, said):
    with pytest.raises(InvalidPayload, match=said):
        small.jobtrack.batch([tasks.add.s(1, 2)], **about).dispatch()
    assert (small.jobtrack.groups.list().items, small.queued()) == ((), 0)


def test_on_failure_is_one_of_two_words(small):
    with pytest.raises(InvalidPayload, match="'continue' or 'cancel'"):
        small.jobtrack.groups.create("g", on_failure="stop")


@pytest.mark.parametrize("members", ["add", 3, {"task": "add"}])
def test_members_are_signatures(small, members):
    with pytest.raises(InvalidPayload, match="members are signatures"):
        small.jobtrack.batch(members)


@pytest.mark.parametrize("wrong", [3, "nobody"])
def test_wrong_member_of_a_list_leaves_nothing(small, tasks, wrong):
    if wrong == "nobody":
        wrong = signature("nobody", app=small.app)
    jobtrack = small.jobtrack
    inner = jobtrack.batch([tasks.add.s(1, 2), wrong], title="inner")
    group = jobtrack.groups.create("by hand", standing=False)
    for given in ([tasks.add.s(1, 2), wrong], [tasks.add.s(1, 2), inner]):
        with pytest.raises(InvalidPayload, match="member 1: "):
            jobtrack.batch(given).dispatch(chunk=1)
    assert (len(jobtrack.groups.list().items), small.recorded(), small.queued()) == (1, [], 0)
    with pytest.raises(InvalidPayload, match="member 1: "):
        group.dispatch([tasks.add.s(1, 2), wrong], chunk=1)
    assert (len(jobtrack.groups.list().items), small.recorded()) == (1, [])
    assert (group.refresh().sealed, group.incomplete) == (True, True), "nobody else would seal it"


def test_batch_of_a_generator_is_dispatched_once(small, tasks):
    pending = small.jobtrack.batch(tasks.add.s(n, n) for n in range(2))
    with_then = pending.then(tasks.told.s("then"))
    assert pending.dispatch().status().total == 2
    for again in (pending, with_then):
        with pytest.raises(
            InvalidPayload, match="came from a generator, and an earlier dispatch has read it"
        ):
            again.dispatch()
    assert len(small.jobtrack.groups.list().items) == 1


def test_builder_gives_a_new_batch_at_every_step(small, tasks):
    plain = small.jobtrack.batch([tasks.add.s(1, 2)])
    with_then = plain.then(tasks.told.s("then")).allow_failures().on_queue("other")
    assert (plain.callbacks, plain.on_failure, plain.options) == ((), "cancel", {})
    assert (len(with_then.callbacks), with_then.on_failure) == (1, "continue")
    first, second = plain.dispatch(), plain.dispatch()
    assert first != second


def test_batch_goes_to_its_queue(small, tasks):
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).on_queue("imports").dispatch()
    assert [job.queue for job in batch.members().items] == ["imports"]


# -- adding ------------------------------------------------------------------------------------------


def test_running_batch_takes_more_members_and_a_cancelled_or_completed_one_does_not(small, tasks):
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).dispatch()
    batch.add(tasks.add.s(3, 4)).add(small.jobtrack.batch([tasks.add.s(5, 6)], title="inside"))
    assert (batch.status().total, batch.sealed) == (3, True)
    batch.cancel()
    with pytest.raises(GroupCancelled, match="takes no more members"):
        batch.add([tasks.add.s(1, 2)])
    empty = small.jobtrack.batch(title="Empty").dispatch()
    with pytest.raises(GroupCompleted, match="'Empty'"):
        empty.add([tasks.add.s(1, 2)])
    assert states(empty) == []


@pytest.mark.parametrize("how", ["cancelled", "completed"])
def test_batch_is_not_made_in_a_parent_that_takes_no_members(small, tasks, how):
    outer = small.jobtrack.batch([] if how == "completed" else [tasks.add.s(1, 2)], title="Outer").dispatch()
    if how == "cancelled":
        outer.cancel()
    error = GroupCancelled if how == "cancelled" else GroupCompleted
    with pytest.raises(error, match="'Outer'"):
        small.jobtrack.batch([tasks.add.s(1, 2)], parent=outer).dispatch()
    with pytest.raises(error, match="'Outer'"):
        small.jobtrack.groups.create("inner", parent=outer.id)
    assert len(small.jobtrack.groups.list().items) == 1


def test_parent_that_is_cancelled_meanwhile_leaves_an_ended_child(small, tasks, monkeypatch):
    outer = small.jobtrack.batch([tasks.add.s(1, 2)]).dispatch()
    create = small.jobtrack.store.create_group

    def create_late(record):
        created = create(record)
        outer.cancel()
        return created

    monkeypatch.setattr(small.jobtrack.store, "create_group", create_late)
    with pytest.raises(GroupCancelled):
        small.jobtrack.groups.create("inner", parent=outer)
    inner = next(group for group in small.jobtrack.groups.list().items if group.title == "inner")
    assert inner.is_over


def test_group_of_another_namespace_is_unknown_here(small, tasks):
    group = small.jobtrack.groups.create("here")
    other = SmallApp(jobtrack_namespace="elsewhere")
    try:
        theirs = other.task(name="add")(add)
        for attempt in (
            lambda: theirs.apply_async((1, 2), job_group=group.id),
            lambda: other.jobtrack.batch([theirs.s(1, 2)], parent=group.id).dispatch(),
            lambda: other.jobtrack.groups.get(group.id),
            lambda: other.jobtrack.dispatch_many([theirs.s(1, 2)], group=group.id),
        ):
            with pytest.raises(UnknownGroup, match="namespace 'elsewhere'"):
                attempt()
        assert (other.recorded(), other.queued()) == ([], 0)
    finally:
        other.close()


def test_terminating_a_batch_ends_running_members_at_any_depth(small, tasks, monkeypatch):
    inner = small.jobtrack.batch([tasks.add.s(1, 2)], title="inner")
    middle = small.jobtrack.batch([inner, tasks.add.s(3, 4)], title="middle")
    outer = small.jobtrack.batch([middle]).dispatch()
    runtime, asked = small.jobtrack.runtime, []
    running = [job for job in small.recorded() if job.task == "add"]
    for job in running:
        origin = Origin(job_id=job.id, task="add", group_id=job.group_id)
        runtime.tracker.start(StartRequest(origin=origin, token=job.id, worker=runtime.worker()))
    monkeypatch.setattr(small.app.control, "revoke", lambda ids, **_: asked.extend(ids))
    outer.cancel(terminate=True)
    assert sorted(asked) == sorted(job.id for job in running)
    assert {str(group.state) for group in small.jobtrack.groups.list().items} == {"CANCELLED"}


def test_members_of_a_batch_inside_carry_all_groups_above(small, tasks):
    inner = small.jobtrack.batch([tasks.add.s(1, 2)], title="inner")
    outer = small.jobtrack.batch([small.jobtrack.batch([inner], title="middle")], title="outer").dispatch()
    ids = {group.title: group.id for group in small.jobtrack.groups.list().items}
    assert ids["outer"] == outer.id
    (job,) = (job for job in small.recorded() if job.task == "add")
    header = Header.load(Kept(small.jobtrack.store.message(job.id)).headers)
    assert (header.group_id, header.within) == (ids["inner"], (ids["middle"], ids["outer"]))


# -- an interrupted dispatch -----------------------------------------------------------------------------


def test_generator_that_raises_leaves_an_incomplete_batch_that_ends(small, tasks):
    def members():
        for n in range(3):
            yield tasks.add.s(n, n)
        raise OSError("no more paths")

    told = tasks.told
    pending = small.jobtrack.batch(members(), title="Broken").then(told.s("then")).catch(told.s("catch"))
    with pytest.raises(DispatchFailed, match="no more paths") as raised:
        pending.finally_(told.s("finally")).dispatch()
    assert isinstance(raised.value.__cause__, OSError)
    (batch,) = small.jobtrack.groups.list().items
    assert (batch.sealed, batch.incomplete, batch.status().total) == (True, True, 3)
    with small.jobtrack.runtime.eagerly():
        small.jobtrack.runtime.tracker.delivery.deliver_due()
        small.jobtrack.check()
    assert states(batch) == ["REVOKED"] * 3
    assert batch.refresh().outcome == "FAILED"
    assert {str(each.kind): each.job is not None for each in batch.callbacks()} == {
        "then": False,
        "catch": True,
        "finally": True,
    }


def test_batch_that_is_interrupted_inside_of_another_one_fails_both(small, tasks):
    def members():
        yield tasks.add.s(1, 2)
        raise OSError("no more paths")

    inner = small.jobtrack.batch(members(), title="inner")
    with pytest.raises(DispatchFailed):
        small.jobtrack.batch([tasks.add.s(1, 2), inner, tasks.add.s(3, 4)], title="outer").dispatch()
    groups = {group.title: group for group in small.jobtrack.groups.list().items}
    assert {title: group.incomplete for title, group in groups.items()} == {"inner": True, "outer": True}
    assert groups["outer"].status().total == 2


def test_cancelled_while_it_is_dispatched_sends_no_more_and_is_cancelled(small, tasks):
    def members():
        yield tasks.add.s(1, 2)
        next(iter(small.jobtrack.groups.list().items)).cancel()
        for n in range(5):
            yield tasks.add.s(n, n)

    batch = small.jobtrack.batch(members()).dispatch(chunk=1)
    assert (batch.outcome, batch.incomplete, batch.status().total) == ("CANCELLED", False, 1)
    batch.retry_failed(ids=batch.members().items)
    assert (batch.refresh().generation, batch.incomplete) == (2, True), "the rest was never sent"
    run(small, batch.members().items[0].id)
    assert batch.refresh().outcome == "FAILED"
    batch.reopen().add([tasks.add.s(3, 4)])
    run(small, batch.members().items[0].id)
    assert (batch.refresh().outcome, batch.incomplete) == ("SUCCEEDED", False)


def test_first_failure_while_it_is_dispatched_sends_no_more(small, tasks):
    def members():
        yield tasks.add.s(1, 2)
        (job,) = small.recorded()
        run(small, job.id, Outcome.FAILURE)
        for n in range(5):
            yield tasks.add.s(n, n)

    batch = small.jobtrack.batch(members()).dispatch(chunk=1)
    assert (batch.outcome, batch.status().total) == ("FAILED", 1)
    assert batch.retry_failed().queued == 1
    run(small, batch.members().items[0].id)
    assert batch.refresh().outcome == "FAILED", "five were never sent"


def test_group_dispatch_seals_a_batch_as_it_went(small, tasks):
    batch = small.jobtrack.groups.create("by hand", standing=False)
    batch.dispatch([tasks.add.s(1, 2)])
    assert batch.refresh().sealed

    def broken():
        yield tasks.add.s(1, 2)
        raise OSError("no more")

    for key in (None, "k"):
        again = small.jobtrack.groups.create("again", standing=False)
        with pytest.raises(DispatchFailed):
            again.dispatch(broken(), key=key)
        assert (again.refresh().sealed, again.incomplete) == (True, True)


# -- a dispatch that is made again ---------------------------------------------------------------------------


def paths(tasks, count, *, broken=False):
    """Signatures; with ``broken`` the iterable raises behind them."""
    for number in range(count):
        yield tasks.add.s(number, 1)
    if broken:
        raise OSError("no more")


def keyed(small, tasks, **about):
    """A batch whose dispatch with a key broke off after two of three members."""
    told = tasks.told
    about = {"then": told.s("t"), "catch": told.s("c"), "finally_": told.s("f"), **about}
    batch = small.jobtrack.groups.create("keyed", standing=False, **about)
    with pytest.raises(DispatchFailed):
        batch.dispatch(paths(tasks, 2, broken=True), key="k")
    return batch


def run_queued(small, batch):
    for job in batch.members(state="ENQUEUED").items:
        run(small, job.id)
    return batch.refresh()


def test_batch_whose_dispatch_with_a_key_broke_off_ends(small, tasks):
    batch = run_queued(small, keyed(small, tasks))
    assert (batch.is_over, batch.outcome, kinds_due(batch)) == (True, "FAILED", {"catch", "finally"})


def test_dispatch_that_is_made_again_reopens_its_batch_and_then_follows(small, tasks):
    batch = run_queued(small, keyed(small, tasks))
    report = small.jobtrack.dispatch_many(paths(tasks, 3), group=batch.id, key="k")
    assert (report.sent, report.known) == (1, 2)
    batch = run_queued(small, batch)
    assert (batch.generation, batch.base_generation, batch.status().succeeded) == (2, 1, 3)
    assert (batch.outcome, kinds_due(batch)) == ("SUCCEEDED", {"then", "finally"})


def test_dispatch_that_is_made_again_may_find_nothing_missing(small, tasks):
    batch = run_queued(small, keyed(small, tasks))
    assert batch.dispatch(paths(tasks, 2), key="k").known == 2
    small.jobtrack.runtime.tracker.delivery.deliver_due()
    assert (batch.refresh().outcome, batch.generation) == ("SUCCEEDED", 2)
    # Whole and over: nothing happens, and nothing can be added.
    assert batch.dispatch(paths(tasks, 2), key="k").known == 2
    assert batch.refresh().generation == 2
    with pytest.raises(GroupCompleted):
        batch.dispatch(paths(tasks, 3), key="k")
    assert (batch.refresh().outcome, batch.generation, batch.status().total) == ("SUCCEEDED", 2, 2)


def test_dispatch_that_is_made_again_may_break_off_again(small, tasks):
    batch = run_queued(small, keyed(small, tasks))
    with pytest.raises(DispatchFailed):
        batch.dispatch(paths(tasks, 3, broken=True), key="k")
    assert (run_queued(small, batch).outcome, batch.generation) == ("FAILED", 2)
    assert kinds_due(batch) == {"catch", "finally"}
    batch.dispatch(paths(tasks, 4), key="k")
    assert (run_queued(small, batch).outcome, batch.generation) == ("SUCCEEDED", 3)


def test_dispatch_is_made_again_after_its_process_died(small, tasks):
    batch = small.jobtrack.groups.create("killed", standing=False, then=tasks.told.s("t"))
    store = small.jobtrack.store
    store.begin_filling(batch.id, "dead", 30)
    bulk.dispatch(small.jobtrack.runtime, paths(tasks, 2), group_id=batch.id, key="k")
    run_queued(small, batch)
    store._clock = lambda: time.time() + 31
    small.jobtrack.check()
    assert (batch.refresh().is_over, batch.incomplete) == (True, True)
    batch.dispatch(paths(tasks, 3), key="k")
    assert (run_queued(small, batch).outcome, kinds_due(batch)) == ("SUCCEEDED", {"then"})


def test_dispatch_is_made_again_before_it_is_known_that_its_process_died(small, tasks):
    batch = small.jobtrack.groups.create("killed", standing=False, then=tasks.told.s("t"))
    small.jobtrack.store.begin_filling(batch.id, "dead", 30)
    bulk.dispatch(small.jobtrack.runtime, paths(tasks, 2), group_id=batch.id, key="k")
    batch.dispatch(paths(tasks, 3), key="k")
    small.jobtrack.store.end_filling(batch.id, "dead")
    batch = run_queued(small, batch)
    assert (batch.outcome, batch.generation, kinds_due(batch)) == ("SUCCEEDED", 1, {"then"})


def test_dispatch_goes_on_in_the_same_generation_if_nobody_was_told(small, tasks):
    batch = keyed(small, tasks, catch=None)
    batch.dispatch(paths(tasks, 3), key="k")
    batch = run_queued(small, batch)
    assert (batch.outcome, batch.generation, kinds_due(batch)) == ("SUCCEEDED", 1, {"then", "finally"})


def test_dispatch_is_not_made_again_while_the_batch_that_failed_goes_on(small, tasks):
    batch = keyed(small, tasks)
    with pytest.raises(GroupNotCompleted, match="2 of its jobs have not ended; make the same call"):
        batch.dispatch(paths(tasks, 3), key="k")
    strict = small.jobtrack.groups.create("strict", standing=False, on_failure="cancel")
    with pytest.raises(DispatchFailed):
        strict.dispatch(paths(tasks, 2, broken=True), key="s")
    with pytest.raises(GroupCancelled, match="2 of its jobs have not ended; make the same call"):
        strict.dispatch(paths(tasks, 3), key="s")
    small.jobtrack.check()
    assert strict.dispatch(paths(tasks, 3), key="s").sent == 1
    assert strict.retry_failed().queued == 2
    assert run_queued(small, strict).outcome == "SUCCEEDED"


def test_failure_that_was_told_and_made_good_does_not_bring_then_in_the_same_generation(small, tasks):
    batch = small.jobtrack.batch(paths(tasks, 2)).allow_failures()
    batch = batch.then(tasks.told.s("t")).catch(tasks.told.s("c")).dispatch()
    run(small, batch.members().items[0].id, Outcome.FAILURE)
    assert batch.retry_failed().queued == 1
    assert (run_queued(small, batch).outcome, kinds_due(batch)) == ("FAILED", {"catch"})
    batch.reopen().seal()
    small.jobtrack.runtime.tracker.delivery.deliver_due()
    assert (batch.refresh().outcome, kinds_due(batch)) == ("SUCCEEDED", {"then"})


def test_batch_that_somebody_cancelled_is_not_reopened_by_a_key(small, tasks):
    batch = small.jobtrack.groups.create("cancelled", standing=False)

    def members():
        yield from paths(tasks, 2)
        batch.cancel()
        yield tasks.add.s(3, 3)

    with pytest.raises(GroupCancelled):
        batch.dispatch(members(), key="k", chunk=1)
    assert (batch.refresh().is_over, batch.outcome) == (True, "CANCELLED")
    with pytest.raises(GroupCancelled):
        batch.dispatch(paths(tasks, 3), key="k")
    assert batch.refresh().generation == 1


# -- running again -----------------------------------------------------------------------------------------


def test_retry_failed_takes_the_errors_ids_and_numbers_it_is_asked_for(small, tasks):
    batch = small.jobtrack.batch([tasks.add.s(n, n) for n in range(6)]).allow_failures().dispatch()
    ids = [job.id for job in batch.members().items]
    for number, job_id in enumerate(ids):
        error = "KeyError" if number < 2 else "ValueError"
        run(small, job_id, Outcome.FAILURE, error)
    assert (batch.refresh().outcome, batch.status().failed) == ("FAILED", 6)
    before = small.queued()
    assert batch.retry_failed(exception="Timeout").queued == 0
    assert batch.refresh().generation == 1
    assert batch.retry_failed(exception=LookupError).queued == 2
    assert batch.retry_failed(ids=[ids[5]]).queued == 1
    assert batch.retry_failed(limit=1).queued == 1
    assert batch.retry_failed().queued == 2
    assert batch.retry_failed().queued == 0
    assert small.queued() - before >= 6
    assert (batch.generation, batch.status().outstanding, batch.status().failed) == (2, 6, 0)
    for job_id in ids:
        run(small, job_id)
    assert (batch.refresh().outcome, batch.status().succeeded, batch.status().total) == ("SUCCEEDED", 6, 6)


def test_retry_failed_stops_when_what_runs_again_fails_anew(small, tasks, monkeypatch):
    batch = (
        small.jobtrack.batch([tasks.add.s(n, n) for n in range(4)]).finally_(tasks.told.s("end")).dispatch()
    )
    first = batch.members().items[0].id
    run(small, first, Outcome.FAILURE)
    assert (batch.refresh().is_over, batch.outcome) == (True, "FAILED")
    ports = small.jobtrack.runtime.ports

    def publish_and_fail(job, message):
        run(small, job.id, Outcome.FAILURE)

    monkeypatch.setattr(ports, "publish_again", publish_and_fail)
    assert batch.retry_failed().queued == 1
    batch.refresh()
    assert (batch.generation, batch.is_over, batch.outcome) == (2, True, "FAILED")
    callbacks = [job for job in small.recorded() if job.task == "told"]
    assert len(callbacks) == 2, "one for each generation"


def test_retry_failed_reports_what_was_not_kept(small, tasks):
    batch = small.jobtrack.batch([tasks.forgotten.s(), tasks.add.s(1, 2)]).allow_failures().dispatch()
    for job in batch.members().items:
        run(small, job.id, Outcome.FAILURE)
    retried = batch.retry_failed()
    forgotten = [job.id for job in batch.members().items if job.task == "forgotten"]
    assert (retried.queued, list(retried.not_kept)) == (1, forgotten)
    assert retried.never_sent == ()


@pytest.mark.parametrize("whole", [True, False])
def test_retry_that_comes_after_another_one_does_not_say_that_messages_were_not_kept(
    small, tasks, whole, monkeypatch
):
    batch = small.jobtrack.batch([tasks.add.s(1, 2), tasks.add.s(3, 4)]).allow_failures().dispatch()
    ids = [job.id for job in batch.members().items]
    for job_id in ids:
        run(small, job_id, Outcome.FAILURE)
    message = small.jobtrack.store.message

    def another_is_faster(job_id):
        monkeypatch.undo()
        assert small.jobtrack.groups.get(batch.id).retry_failed().queued == 2
        for member_id in ids:
            run(small, member_id)
        return message(job_id)

    monkeypatch.setattr(small.jobtrack.store, "message", another_is_faster)
    if whole:
        retried = batch.retry_failed()
        assert (retried.queued, retried.not_kept, retried.never_sent) == (0, (), ())
    else:
        assert small.jobtrack.retry(ids[0]) is False
    assert (batch.refresh().outcome, batch.generation) == ("SUCCEEDED", 2)


def test_standing_group_that_its_failure_cancelled_says_that_it_is_to_be_reopened(small, tasks):
    def breaks_off():
        yield tasks.add.s(1, 2)
        raise OSError

    group = small.jobtrack.groups.create("uploads", on_failure="cancel")
    with pytest.raises(DispatchFailed):
        group.dispatch(breaks_off(), key="night")
    small.jobtrack.check()
    assert (group.refresh().is_over, group.outcome) == (True, "FAILED")
    again = [tasks.add.s(1, 2), tasks.add.s(3, 4)]
    for send in (lambda: group.dispatch(again, key="night"), lambda: group.add(again)):
        with pytest.raises(GroupCancelled, match=r"no more members; reopen\(\) begins its next generation"):
            send()
    said = small.jobtrack.inspect.why(group.id).said
    assert said[1] == "it was cancelled, and takes no more jobs until it is reopened with reopen()"
    assert said[3].startswith("reopen() it and dispatch the missing ones")
    assert group.reopen().dispatch(again, key="night").sent == 1
    assert (group.refresh().state, group.generation, group.status().total) == ("AWAITING", 2, 1)


def test_retry_of_a_chain_whose_last_task_was_never_sent_says_so(small, tasks):
    batch = small.jobtrack.groups.create("b", standing=False)
    batch.dispatch([tasks.add.s(1, 2) | tasks.add.s(3), tasks.add.s(1, 2)])
    batch.seal()
    (chained,) = (job.id for job in batch.members().items if job.published_at is None)
    (step,) = (job.id for job in small.recorded() if job.group_id is None)
    run(small, step, Outcome.FAILURE)
    (alone,) = (job.id for job in batch.members().items if job.id != chained)
    run(small, alone, Outcome.FAILURE)
    retried = batch.retry_failed()
    assert (retried.queued, retried.not_kept, retried.never_sent) == (1, (), (chained,))
    with pytest.raises(InvalidPayload, match=f"never sent.*UpstreamFailed: job {step}.*send the canvas anew"):
        small.jobtrack.retry(chained)
    run(small, alone)
    batch.reopen().add([tasks.add.s(5, 6)])
    run(small, batch.members().items[0].id)
    assert (batch.refresh().generation, batch.is_over, batch.outcome) == (3, True, "FAILED")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"ids": "abc"}, "ids must be a list"),
        ({"ids": ["unknown"]}, "is not a member"),
        ({"exception": 3}, "exception must be"),
        ({"ids": [], "exception": ValueError}, "not both"),
    ],
)
def test_retry_failed_refuses_what_makes_no_sense(small, tasks, about, said):
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).dispatch()
    with pytest.raises(InvalidPayload, match=said):
        batch.retry_failed(**about)


def test_batch_that_is_being_cancelled_runs_nothing_again(small, tasks):
    batch = small.jobtrack.batch([tasks.add.s(1, 2), tasks.add.s(3, 4)]).allow_failures().dispatch()
    failed, running = batch.members().items
    run(small, failed.id, Outcome.FAILURE)
    runtime = small.jobtrack.runtime
    origin = Origin(job_id=running.id, task="add", group_id=batch.id)
    runtime.tracker.start(StartRequest(origin=origin, token="t", worker=runtime.worker()))
    batch.cancel()
    with pytest.raises(GroupCancelled, match="being cancelled"):
        batch.retry_failed()
    with pytest.raises(GroupCancelled, match="being cancelled"):
        batch.reopen()


@pytest.mark.parametrize("was_over", [True, False])
@pytest.mark.parametrize("how", ["add", "dispatch", "filling", "seal"])
def test_reopened_batch_is_held_until_what_it_was_reopened_for(small, tasks, how, was_over):
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).dispatch()
    (first,) = batch.members().items
    if was_over:
        run(small, first.id)
    batch.reopen()
    if not was_over:
        run(small, first.id)
    assert (batch.status().filling, batch.status().completed_at) == (True, None)
    if how != "seal":
        add_to(batch, how, tasks)
        run(small, batch.members().items[0].id)
    else:
        batch.seal()
    assert (batch.status().filling, batch.refresh().is_over) == (False, True)
    assert batch.outcome == "SUCCEEDED"


def add_to(batch, how, tasks):
    if how == "filling":
        with batch.filling():
            tasks.add.apply_async((3, 4), job_group=batch)
    else:
        getattr(batch, how)([tasks.add.s(3, 4)])


def broken_off(small, tasks, **about):
    """A batch whose only member has failed, with a second one that was never sent."""

    def members():
        yield tasks.add.s(1, 2)
        raise OSError("no more")

    batch = small.jobtrack.groups.create("broken", standing=False, **about)
    with pytest.raises(DispatchFailed):
        batch.dispatch(members())
    run(small, batch.members().items[0].id, Outcome.FAILURE)
    return batch.refresh()


def kinds_due(batch):
    return {str(each.kind) for each in batch.callbacks() if each.job is not None}


def test_incomplete_batch_is_not_whole_when_all_that_was_sent_has_succeeded(small, tasks):
    told = tasks.told
    about = {"then": told.s("t"), "catch": told.s("c"), "finally_": told.s("f")}
    batch = broken_off(small, tasks, **about)
    assert batch.retry_failed().queued == 1
    run(small, batch.members().items[0].id)
    assert (batch.refresh().outcome, batch.status().succeeded) == ("FAILED", 1)
    assert kinds_due(batch) == {"catch", "finally"}
    # And after that it still is when somebody says so.
    batch.reopen().seal()
    small.jobtrack.runtime.tracker.delivery.deliver_due()
    assert batch.refresh().outcome == "SUCCEEDED"
    assert kinds_due(batch) == {"then", "finally"}


def test_standing_group_whose_dispatch_breaks_off_has_failed_for_this_generation(small, tasks):
    told = tasks.told
    group = small.jobtrack.groups.create("g", then=told.s("t"), catch=told.s("c"), finally_=told.s("f"))

    def members():
        for number in range(3):
            yield tasks.add.s(number, 1)
        raise OSError("no more")

    with pytest.raises(DispatchFailed):
        group.dispatch(members(), chunk=2)
    for job in group.members().items:
        run(small, job.id)
    assert (group.refresh().outcome, group.incomplete) == ("FAILED", True)
    assert kinds_due(group) == {"catch", "finally"}
    group.dispatch([tasks.add.s(3, 4)])
    run(small, group.members().items[0].id)
    assert (group.refresh().outcome, group.generation, group.status().total) == ("SUCCEEDED", 2, 1)
    assert kinds_due(group) == {"then", "finally"}


def test_standing_group_is_well_after_a_dispatch_of_which_nothing_was_sent(small, tasks):
    group = small.jobtrack.groups.create("g")
    with pytest.raises(InvalidPayload):
        group.dispatch(iter([3]))
    assert (group.refresh().incomplete, group.status().total) == (False, 0)


def test_batch_that_is_whole_is_incomplete_when_a_second_dispatch_breaks_off(small, tasks):
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).allow_failures().dispatch()

    def members():
        yield tasks.add.s(3, 4)
        raise OSError("no more")

    with pytest.raises(DispatchFailed):
        batch.dispatch(members())
    for job in batch.members().items:
        run(small, job.id)
    assert (batch.refresh().outcome, batch.incomplete) == ("FAILED", True)


@pytest.mark.parametrize("how", ["add", "dispatch", "filling"])
def test_incomplete_batch_is_whole_when_the_rest_was_added(small, tasks, how):
    batch = broken_off(small, tasks, then=tasks.told.s("t"), catch=tasks.told.s("c")).reopen()
    add_to(batch, how, tasks)
    assert (batch.refresh().sealed, batch.incomplete) == (True, False)
    assert batch.retry_failed().queued == 1
    for job in batch.members().items:
        run(small, job.id)
    assert (batch.refresh().outcome, kinds_due(batch)) == ("SUCCEEDED", {"then"})


@pytest.mark.parametrize("how", ["add", "dispatch"])
def test_incomplete_batch_stays_incomplete_when_adding_breaks_off_again(small, tasks, how):
    batch = broken_off(small, tasks).reopen()

    def members():
        yield tasks.add.s(3, 4)
        raise OSError("no more")

    with pytest.raises(DispatchFailed):
        getattr(batch, how)(members())
    run(small, batch.members().items[0].id)
    assert (batch.refresh().is_over, batch.incomplete, batch.outcome) == (True, True, "FAILED")


def test_incomplete_batch_that_was_reopened_for_nothing_stays_incomplete(small, tasks):
    batch = broken_off(small, tasks).reopen()
    store = small.jobtrack.store
    assert (batch.sealed, batch.is_over) == (False, False)
    store._clock = lambda: time.time() + 31
    small.jobtrack.check()
    assert (batch.refresh().is_over, batch.incomplete) == (True, True)


@pytest.mark.parametrize("was_revoked", [False, True])
def test_worker_does_not_remember_what_has_expired_as_revoked(small, tasks, was_revoked):
    job_id = str(uuid.uuid4())
    if was_revoked:
        revoked.add(job_id)
    message = SimpleNamespace(
        headers={"id": job_id, "task": "add", "expires": "2020-01-01T00:00:00+00:00"},
        properties={},
        delivery_info={},
        body=((1, 2), {}, {}),
        content_type="application/json",
        content_encoding="utf-8",
    )
    request = TrackedRequest(message, app=small.app, task=tasks.add, decoded=True)
    try:
        assert request.maybe_expire()
        assert (job_id in revoked) is was_revoked
    finally:
        revoked.discard(job_id)


def test_retry_failed_takes_what_somebody_cancelled_or_what_has_expired_by_its_id_only(small, tasks):
    batch = small.jobtrack.groups.create("by hand", standing=False)
    batch.dispatch([tasks.add.s(1, 2), tasks.add.s(1, 2).set(expires=0.001)])
    soon, other = sorted(batch.members().items, key=lambda job: job.expires_at is None)
    wait_until(lambda: small.jobtrack.check().expired, 10, "it has not expired")
    other_result = small.jobtrack.cancel(other.id)
    assert (other_result, batch.refresh().is_over) == (True, True)
    assert batch.retry_failed().queued == 0
    assert batch.retry_failed(ids=[soon, other]).queued == 2
    for job in (soon, other):
        kept = Kept(small.jobtrack.store.message(job.id))
        assert (kept.headers["expires"], kept.options.get("expiration")) == (None, None)
        assert small.jobtrack.store.job(job.id).expires_at is None
    assert run_queued(small, batch).outcome == "SUCCEEDED"


def test_job_that_failed_can_be_retried_by_itself(small, tasks):
    result = tasks.add.apply_async((1, 2))
    with pytest.raises(InvalidPayload, match="only what did not succeed"):
        result.retry()
    run(small, result.id, Outcome.FAILURE)
    assert small.jobtrack.retry(result.id)
    job = result.job()
    assert (str(job.state), job.run, job.error) == ("ENQUEUED", 2, None)
    run(small, result.id)
    assert str(result.job().state) == "SUCCESS"
    with pytest.raises(UnknownJob):
        small.jobtrack.retry("unknown")


def test_job_whose_message_was_not_kept_cannot_be_retried(small, tasks):
    result = tasks.forgotten.apply_async()
    run(small, result.id, Outcome.FAILURE)
    with pytest.raises(InvalidPayload, match="jobtrack_keep_message"):
        result.retry()


def test_job_that_stands_for_a_group_is_steered_through_the_group(small, tasks):
    outer = small.jobtrack.batch([small.jobtrack.batch([tasks.add.s(1, 2)])]).dispatch()
    (member,) = outer.members().items
    with pytest.raises(InvalidPayload, match="stands for a group; cancel that"):
        small.jobtrack.cancel(member.id)
    with pytest.raises(InvalidPayload, match="stands for a group; retry that"):
        small.jobtrack.retry(member.id)


def test_redrive_that_the_broker_refuses_fails_again_and_can_be_repeated(small, tasks, monkeypatch):
    result = tasks.add.apply_async((1, 2))
    run(small, result.id, Outcome.FAILURE)
    runtime = small.jobtrack.runtime

    def refuse(job, message):
        raise ConnectionError("no broker")

    with monkeypatch.context() as patched:
        patched.setattr(runtime.ports, "publish_again", refuse)
        with pytest.raises(ConnectionError):
            result.retry()
    assert (str(result.job().state), str(result.job().reason)) == ("FAILURE", "publish_failed")
    assert result.retry()
    run(small, result.id)
    assert (str(result.job().state), result.job().run) == ("SUCCESS", 3)


class Died(BaseException):
    """The process is killed: no handler of an error may see it as one."""


def test_outer_batches_hear_of_an_inner_one_although_the_process_dies_that_retries_it(
    small, tasks, monkeypatch
):
    jobtrack = small.jobtrack
    inner = jobtrack.batch([tasks.add.s(1, 2)], title="inner")
    outer = jobtrack.batch([jobtrack.batch([inner], title="middle")], title="outer").dispatch()
    runtime = jobtrack.runtime
    (middle,) = (job.id for job in outer.members().items)
    (inner,) = (job.id for job in jobtrack.groups.get(middle).members().items)
    (member,) = (job.id for job in jobtrack.groups.get(inner).members().items)
    run(small, member, Outcome.FAILURE)
    assert str(outer.refresh().outcome) == "FAILED"
    redrive = runtime.store.redrive

    def dies(request):
        if request.job_id != member:
            raise Died
        return redrive(request)

    with monkeypatch.context() as patched:
        patched.setattr(runtime.store, "redrive", dies)
        with pytest.raises(Died):
            outer.retry_failed()
    # The outer ones have ended, and the member is queued: a checker will send it.
    assert (outer.refresh().is_over, runtime.store.job(member).run) == (True, 2)
    run(small, member)
    groups = [jobtrack.groups.get(each) for each in (inner, middle, outer.id)]
    assert [str(group.outcome) for group in groups] == ["SUCCEEDED"] * 3
    assert all(group.closed_at is not None for group in groups[:2])
    assert [group.totals.succeeded for group in groups] == [1, 1, 1]


def test_outer_batch_stays_as_it_is_when_a_standing_group_in_it_goes_on(small, tasks):
    outer = small.jobtrack.groups.create("outer", standing=False)
    inner = small.jobtrack.groups.create("inner", parent=outer)
    outer.seal()
    for generation in (1, 2):
        inner.dispatch([tasks.add.s(1, 2)])
        (job,) = (job.id for job in inner.members().items if not job.is_final)
        run(small, job)
        inner.refresh()
        assert (inner.generation, inner.is_over, outer.refresh().generation) == (generation, True, 1)
        assert str(outer.outcome) == "SUCCEEDED"


def test_callback_that_the_broker_refused_is_sent_as_a_later_run(small, tasks, monkeypatch, caplog):
    # Also one whose message is not kept: its signature stands with its group.
    batch = small.jobtrack.batch([tasks.add.s(1, 2)]).then(tasks.forgotten.si()).dispatch()
    (member,) = batch.members().items

    def refuse(*_, **__):
        raise OperationalError("no broker")

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr("kombu.messaging.Producer.publish", refuse)
        run(small, member.id)
    (callback,) = batch.refresh().callbacks()
    assert (str(callback.job.state), str(callback.job.reason)) == ("FAILURE", "publish_failed")
    assert batch.closed_at is None
    small.jobtrack.runtime.tracker.closing.catch_up(batch.record)
    (callback,) = batch.callbacks()
    assert (str(callback.job.state), callback.job.run) == ("ENQUEUED", 2)
    with small.app.connection_for_read() as connection:
        queue = connection.SimpleQueue(small.queue)
        headers = [queue.get(block=False).headers for _ in range(small.queued())]
        queue.close()
    (header,) = (Header.load(each) for each in headers if each["id"] == callback.job_id)
    assert (header.run, header.callback_of) == (2, batch.id)
    run(small, callback.job_id)
    assert small.jobtrack.runtime.tracker.closing.look_at(batch.id)


# -- tracking is off ---------------------------------------------------------------------------------


def test_batch_is_inert_where_tracking_is_off():
    off = SmallApp(jobtrack_enabled=False)
    try:
        ours = off.task(name="add")(add)
        jobtrack = off.jobtrack
        batch = jobtrack.batch([ours.s(1, 2), jobtrack.batch([ours.s(3, 4)])]).then(ours.s(1)).dispatch()
        batch.add([ours.s(5, 6)]).cancel().reopen()
        assert batch.retry_failed().queued == 0
        assert off.queued() == 3
    finally:
        off.close()
