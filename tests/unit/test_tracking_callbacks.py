"""What follows from a group's events, where the broker or a listener does not play along."""

from __future__ import annotations

import logging

import pytest

from celery_jobtrack import events
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.requests import EnqueueRequest
from celery_jobtrack.model.retention import Retention, Retentions
from celery_jobtrack.model.state import CallbackKind, EventKind, Outcome
from celery_jobtrack.tracking.consequences import Consequences
from celery_jobtrack.tracking.delivery import FIRST_WAIT, LONGEST_WAIT, TRIES
from tests.unit.tracking_fixtures import World

K = CallbackKind


@pytest.fixture
def world():
    return World()


def batch(world, *kinds, group_id="g", members=("a",), every=2, **about):
    callbacks = tuple(
        Callback(kind=kind, number=0, task=f"{kind}", signature="", every=every if kind is K.PROGRESS else 0)
        for kind in kinds
    )
    group = world.group(id=group_id, standing=False, callbacks=callbacks, **about)
    if group.parent_id is not None:
        origin = world.origin(group_id, task=GROUP_TASK, group_id=group.parent_id)
        world.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
    for job_id in members:
        world.enqueue(job_id, group_id=group_id)
    world.store.seal_group(group_id)
    return group


def end(world, job_id, outcome=Outcome.SUCCESS):
    world.finish(world.start(job_id), outcome)


def sent(world):
    return [kind for kind, _ in world.ports.callbacks]


def run_callbacks(world):
    """Run what was sent, as the messages say."""
    while world.ports.callbacks:
        _, job_id = world.ports.callbacks.pop(0)
        world.runs += 1
        world.finish(world.start_request(job_id, token=f"c{world.runs}", callback_of="g"))


def test_callbacks_come_with_their_events(world):
    batch(world, K.BEFORE, K.PROGRESS, K.THEN, K.CATCH, K.FINALLY, members="abcd")
    world.start("a")
    assert sent(world) == ["before"]
    end(world, "b")
    assert sent(world) == ["before"]
    end(world, "c")
    assert sent(world) == ["before", "progress"]
    end(world, "d", Outcome.FAILURE)
    assert sent(world) == ["before", "progress", "catch"]
    world.finish(world.start_request("a"))
    assert sent(world) == ["before", "progress", "catch", "progress", "finally"]
    assert len({job_id for _, job_id in world.ports.callbacks}) == 5


def test_group_is_closed_when_the_last_callback_has_ended(world):
    batch(world, K.THEN, K.FINALLY)
    end(world, "a")
    assert world.store.group("g").closed_at is None
    (_, first), (_, second) = world.ports.callbacks
    for job_id in (first, second):
        assert world.store.group("g").closed_at is None
        world.finish(world.start_request(job_id, token=job_id, callback_of="g"))
    assert world.store.group("g").closed_at is not None


def test_callback_that_could_not_be_sent_is_sent_later_and_nobody_is_told_before(world, caplog):
    heard = []

    def completed(sender, *, event_id, **_):
        heard.append(event_id)

    batch(world, K.THEN)
    world.ports.broker_error = ConnectionError("no broker")
    with events.job_group_completed.connected_to(completed), caplog.at_level(logging.CRITICAL):
        end(world, "a")
        assert (sent(world), heard) == ([], [])
        (callback,) = world.store.group("g").callbacks
        job = world.store.job(callback.job_id("default", "g", 1))
        assert (str(job.state), str(job.reason)) == ("FAILURE", "publish_failed")
        for _ in range(2 * TRIES):
            world.clock.advance(LONGEST_WAIT)
            world.tracker.delivery.deliver_due()
            assert world.store.group("g").closed_at is None
        world.ports.broker_error = None
        world.clock.advance(LONGEST_WAIT)
        world.tracker.delivery.deliver_due()
    assert (sent(world), len(heard)) == (["then"], 1)
    run_callbacks(world)
    assert world.store.group("g").closed_at is not None


def test_checker_sends_what_a_delivery_could_not(world, caplog):
    batch(world, K.THEN, K.FINALLY, time_to_check=1)
    world.ports.broker_error = ConnectionError("no broker")
    with caplog.at_level(logging.CRITICAL):
        end(world, "a")
        world.ports.broker_error = None
        world.clock.advance(1)
        world.checker.tick()
    # It need not wait for the event: one was recorded, the other was not.
    assert sorted(sent(world)) == ["finally", "then"]
    run_callbacks(world)
    assert world.store.group("g").closed_at is not None


def test_callback_that_can_never_be_sent_fails_and_holds_nobody_up(world, caplog):
    batch(world, K.THEN, K.FINALLY)
    world.ports.broker_error = ValueError("no such codec")
    with caplog.at_level(logging.CRITICAL):
        end(world, "a")
    group = world.store.group("g")
    assert group.closed_at is not None
    for callback in group.callbacks:
        job = world.store.job(callback.job_id("default", "g", 1))
        assert (str(job.state), str(job.reason)) == ("FAILURE", "error")
        assert "no such codec" in job.error.message


def test_event_that_is_delivered_again_sends_nothing_that_has_started(world, caplog):
    def broken(sender, **_):
        raise RuntimeError("not yet")

    batch(world, K.THEN)
    with events.job_group_completed.connected_to(broken), caplog.at_level(logging.CRITICAL):
        end(world, "a")
        assert sent(world) == ["then"]
        run_callbacks(world)
        for n in range(3):
            world.clock.advance(FIRST_WAIT * 2**n)
            world.tracker.delivery.deliver_due()
    assert sent(world) == []


def test_process_that_may_not_deliver_sends_no_callback(world):
    world.ports.delivers = False
    batch(world, K.THEN)
    end(world, "a")
    assert sent(world) == []
    world.ports.delivers = True
    world.tracker.delivery.deliver_due()
    assert sent(world) == ["then"]


def test_event_whose_deliverer_died_is_delivered_by_another_after_a_minute(world, monkeypatch):
    class DiedHere(BaseException):
        pass

    def die(*_, **__):
        raise DiedHere

    batch(world, K.THEN, K.FINALLY)
    request = world.start("a")
    with monkeypatch.context() as patched:
        patched.setattr(world.ports, "publish_callback", die)
        with pytest.raises(DiedHere):
            world.finish(request)
    assert world.tracker.delivery.deliver_due() == 0
    world.clock.advance(61)
    assert world.tracker.delivery.deliver_due() == 1
    assert sent(world) == ["then", "finally"]


def test_callback_that_ended_long_ago_and_was_deleted_is_not_sent_again(world):
    world.ports.kept = Retentions(default=Retention.alike(60))
    batch(world, K.THEN, K.FINALLY, time_to_check=10)
    end(world, "a")
    (_, first), _ = world.ports.callbacks
    world.finish(world.start_request(first, token=first, callback_of="g"))
    world.ports.callbacks.clear()
    for _ in range(20):
        world.clock.advance(10)
        world.checker.tick()
    assert world.store.job(first) is None
    assert sent(world) == []


def test_parent_hears_of_the_failure_with_the_child_and_its_first_failure(world):
    world.group(id="parent", standing=False, title="Parent")
    batch(world, group_id="child", title="Child", parent_id="parent", members="ab")
    world.store.seal_group("parent")
    end(world, "a", Outcome.FAILURE)
    end(world, "b")
    member = world.store.job("child")
    assert (str(member.state), member.error.type) == ("FAILURE", "GroupFailed")
    said = "group 'Child' (child) failed; 1 of 2 jobs failed, 0 were revoked; first job a (t): FAILURE"
    assert member.error.message == said
    assert str(world.store.group("parent").outcome) == "FAILED"


def test_first_start_in_a_child_starts_its_parents(world):
    heard = []

    def started(sender, *, group, **_):
        heard.append(group.id)

    world.group(id="outer", standing=False)
    world.group(id="middle", standing=False, parent_id="outer")
    for child, parent in (("middle", "outer"), ("inner", "middle")):
        origin = world.origin(child, task=GROUP_TASK, group_id=parent)
        if child == "inner":
            world.group(id="inner", standing=False, parent_id="middle")
        world.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
    world.enqueue("a", group_id="inner")
    with events.job_group_started.connected_to(started):
        world.start("a")
    assert heard == ["outer", "middle", "inner"]
    assert [str(world.store.group(each).state) for each in heard] == ["RUNNING"] * 3


def test_parent_waits_for_the_callbacks_of_its_child(world):
    world.group(id="parent", standing=False)
    batch(world, K.FINALLY, group_id="g", parent_id="parent")
    world.store.seal_group("parent")
    end(world, "a")
    assert world.store.group("g").is_over
    assert not world.store.group("parent").is_over
    run_callbacks(world)
    assert world.store.group("parent").is_over


def test_cancelled_parent_cancels_its_children_and_refuses_their_starts(world):
    world.group(id="parent", standing=False)
    batch(world, group_id="g", parent_id="parent", members="ab")
    world.store.seal_group("parent")
    world.tracker.change_group(world.store.cancel_group("parent"))
    world.start("a", group_id="g", within=("parent",))
    assert str(world.last.refusal) == "its group was cancelled"
    world.checker.tick()
    assert [world.state(job_id) for job_id in ("a", "b", "g")] == ["REVOKED"] * 3
    assert str(world.store.group("parent").outcome) == "CANCELLED"


def test_failure_that_is_told_late_does_not_cancel_the_next_generation(world):
    batch(world, members="ab", cancels_on_failure=True)
    end(world, "a", Outcome.FAILURE)
    world.checker.tick()
    assert (world.state("b"), world.store.group("g").is_over) == ("REVOKED", True)
    world.store.reopen_group("g", "token", 60, keep_totals=True)
    world.enqueue("c", group_id="g")
    failed = EventRecord(
        id="late", kind=EventKind.FAILED, group_id="g", generation=1, seq=1, created_at=world.store.now()
    )
    Consequences(world.tracker).of(failed, world.store.group("g"))
    assert world.state("c") == "ENQUEUED"
    world.store.cancel_group("g")
    Consequences(world.tracker).of(failed, world.store.group("g"))
    assert world.state("c") == "REVOKED"


def test_child_that_is_reopened_while_it_is_closed_is_waited_for_again(world, monkeypatch):
    world.group(id="parent", standing=False)
    batch(world, group_id="g", parent_id="parent")
    world.store.seal_group("parent")
    close = world.store.close_group

    def reopen_first(group_id):
        world.store.reopen_group(group_id, "token", 60, keep_totals=True)
        return close(group_id)

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "close_group", reopen_first)
        end(world, "a", Outcome.FAILURE)
    assert (world.state("g"), world.store.group("parent").is_over) == ("ENQUEUED", False)
    world.tracker.change_group(world.store.end_filling("g", "token"))
    assert (world.state("g"), world.store.group("parent").is_over) == ("FAILURE", True)


def half_dispatched(world, **about):
    """A batch that is held open by whoever sends its members, of which one is sent."""
    callbacks = tuple(
        Callback(kind=kind, number=0, task=f"{kind}", signature="") for kind in (K.CATCH, K.FINALLY)
    )
    world.group(standing=False, callbacks=callbacks, **about)
    world.store.begin_filling("g", "dispatcher", 30)
    world.enqueue("a", group_id="g")


@pytest.mark.parametrize("strict", [True, False])
def test_batch_whose_dispatcher_died_is_sealed_as_incomplete(world, caplog, strict):
    half_dispatched(world, cancels_on_failure=strict)
    world.clock.advance(29)
    world.checker.tick()
    assert not world.store.group("g").sealed
    world.clock.advance(2)
    with caplog.at_level(logging.CRITICAL):
        world.checker.tick()
    group = world.store.group("g")
    assert (group.sealed, group.incomplete) == (True, True)
    if strict:
        assert world.state("a") == "REVOKED"
    else:
        end(world, "a")
    assert sent(world) == ["catch", "finally"]
    assert str(world.store.group("g").outcome) == "FAILED"


def test_cancelled_batch_whose_dispatcher_died_is_not_told_of_it_and_lacks_members(world, caplog):
    half_dispatched(world)
    world.start("a", group_id="g")
    world.store.cancel_group("g")
    with caplog.at_level(logging.ERROR, logger="celery_jobtrack.tracking.abandoned"):
        for _ in range(3):
            world.clock.advance(31)
            world.checker.tick()
    group = world.store.group("g")
    assert (group.is_over, group.sealed, group.incomplete) == (False, False, False)
    assert caplog.records == []


def test_batch_whose_dispatcher_lives_or_that_is_filled_by_hand_is_not_sealed(world):
    half_dispatched(world)
    world.group(id="by hand", standing=False)
    world.enqueue("b", group_id="by hand")
    for _ in range(10):
        world.clock.advance(20)
        world.store.begin_filling("g", "dispatcher", 30)
        world.checker.tick()
    assert not world.store.group("g").sealed
    assert not world.store.group("by hand").sealed


def test_what_stands_for_a_group_is_announced_as_no_job(world):
    heard = []

    def on_job(sender, *, job, **_):
        heard.append(job.id)

    world.group(id="parent", standing=False)
    with (
        events.job_enqueued.connected_to(on_job),
        events.job_failed.connected_to(on_job),
        events.job_succeeded.connected_to(on_job),
    ):
        batch(world, group_id="g", parent_id="parent")
        world.store.seal_group("parent")
        end(world, "a", Outcome.FAILURE)
    assert world.state("g") == "FAILURE"
    assert heard == ["a", "a"]
