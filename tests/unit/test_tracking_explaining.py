"""Why a group has not finished: a plain sentence for everything that it waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack.errors import UnknownGroup
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.lock import Claim, Kind
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RetryRequest,
    SettleRequest,
    Worker,
)
from celery_jobtrack.model.state import CallbackKind, JobState, Outcome
from celery_jobtrack.tracking.explaining import Explainer
from tests.unit.tracking_fixtures import WORKER, World


@pytest.fixture
def world():
    made = World()
    made.ports.consumed = {WORKER.name: frozenset({"q"})}
    made.ports.tracker = made.tracker
    return made


def why(world, group_id="g", limit=20):
    return Explainer(world.tracker, limit=limit).explain(group_id)


def the_only(world):
    (member,) = why(world).members
    return member


def beat(world, seconds):
    """Time goes on, and the worker is heard of all the while."""
    world.clock.advance(seconds)
    world.store.heartbeat(WORKER, 45)


def test_group_that_is_not_recorded(world):
    with pytest.raises(UnknownGroup):
        why(world)


# -- jobs --------------------------------------------------------------------------------------------


def test_running_job_is_with_its_worker(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.start("j", group_id="g")
    beat(world, 30)
    beat(world, 30)
    world.clock.advance(2)
    member = the_only(world)
    assert member.said == "started 1 min 2 s ago on celery@host, last heartbeat 2.0 s ago"
    assert (member.state, member.worker, member.is_worker_alive) == (JobState.STARTED, "celery@host", True)
    assert (member.lease_until - member.heartbeat_at).total_seconds() == 45


def test_running_job_says_how_far_it_is_and_what_it_was_told(world):
    world.group()
    world.enqueue("j", group_id="g")
    request = world.start("j", group_id="g")
    world.tracker.progress("j", request.token, Progress(current=1, total=4))
    world.tracker.cancel("j")
    assert the_only(world).said.endswith(", 25 % done, it was told to stop")


@pytest.mark.parametrize("stopped", [True, False])
def test_running_job_whose_worker_is_gone_is_about_to_be_closed(world, stopped):
    world.group()
    world.enqueue("j", group_id="g")
    world.start("j", group_id="g")
    if stopped:
        world.store.stop_worker(WORKER.id)
    world.clock.advance(50)
    member = the_only(world)
    gone = "stopped 50 s ago" if stopped else "is given up since its lease ended 5.0 s ago"
    assert member.said == (
        f"started 50 s ago on celery@host, which {gone}: the checker will close the attempt"
    )
    assert member.is_worker_alive is False


def test_running_job_of_a_worker_that_is_not_recorded(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.start("j", worker=Worker(id="w9", name="other@host", pid=9), group_id="g")
    assert the_only(world).said.endswith(
        "other@host, which is not known any more: the checker will close the attempt"
    )


def test_queued_job_has_a_place_in_its_queue(world):
    world.group()
    for number in range(4):
        world.enqueue(f"before{number}")
        world.clock.advance(1)
    world.enqueue("j", group_id="g")
    world.run("before0")
    world.clock.advance(20)
    world.ports.depth = 3
    member = the_only(world)
    assert member.said == "queued for 20 s on 'q', 3 before it"
    assert (member.ahead, member.queue_depth, member.is_queue_consumed) == (3, 3, True)


def test_queued_job_that_is_first_says_nothing_of_others(world):
    world.group()
    world.enqueue("j", group_id="g")
    assert the_only(world).said == "queued for 0 ms on 'q'"


@pytest.mark.parametrize(
    ("consumed", "is_consumed"),
    [
        ({WORKER.name: frozenset({"other"})}, False),
        ({WORKER.name: frozenset({"other"}), "x@y": frozenset({"q"})}, True),
        ({"x@y": frozenset({"other"})}, None),
        ({}, None),
    ],
)
def test_queue_that_nobody_consumes_is_told_of_if_it_is_known(world, consumed, is_consumed):
    world.group()
    world.enqueue("j", group_id="g")
    world.ports.consumed = consumed
    member = the_only(world)
    assert member.is_queue_consumed is is_consumed
    assert member.said.endswith(", nobody consumes that queue") is (is_consumed is False)


def test_queue_that_nobody_consumes_because_no_worker_lives(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.store.stop_worker(WORKER.id)
    world.store.register_worker(Worker(id="p", name="process@host", pid=1), 45)
    world.ports.consumed = {}
    assert the_only(world).said.endswith(", nobody consumes that queue")


def test_job_whose_message_is_gone(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.ports.depth = 0
    lost = "the broker has no message in that queue: if it is lost, the checker sends it again"
    assert the_only(world).said == f"queued for 0 ms on 'q', {lost}"
    world.clock.advance(40)
    assert world.store.claim_copy(world.store.job("j"))
    member = the_only(world)
    assert member.said.endswith(", published again 1 time")
    assert member.copies == 1


def test_job_whose_message_a_worker_holds(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.ports.depth, world.ports.held = 0, frozenset({"j"})
    assert the_only(world).said == "queued for 0 ms on 'q', a worker has fetched its message and not begun"


def test_scheduled_job_says_when_it_is_due(world):
    world.group()
    world.enqueue("j", group_id="g", eta=world.store.now() + timedelta(hours=2))
    world.ports.depth = 0
    member = the_only(world)
    assert member.said == "is scheduled on 'q', due in 2 h"
    assert member.due_at == world.store.now() + timedelta(hours=2)


def test_job_that_waits_for_its_retry(world):
    world.group()
    world.enqueue("j", group_id="g")
    request = world.start("j", group_id="g")
    eta = world.store.now() + timedelta(seconds=30)
    world.tracker.retry(
        RetryRequest(
            start=request,
            origin=world.origin("j", group_id="g", retries=1, eta=eta),
            outcome=Outcome.RETRY,
            error=ErrorInfo(type="ConnectionError", message="no"),
        )
    )
    assert the_only(world).said == "waits for its retry 1 after ConnectionError: no on 'q', due in 30 s"
    world.clock.advance(40)
    assert the_only(world).said.startswith(
        "waits for its retry 1 after ConnectionError: no, due for 10 s on 'q'"
    )


def test_job_without_a_message(world):
    world.group()
    world.tracker.enqueue(EnqueueRequest(origin=world.origin("later", group_id="g"), published=False))
    assert the_only(world).said == "has not been sent: it comes behind others of a chain or a chord"


def test_job_that_was_replaced(world):
    world.group()
    world.enqueue("j", group_id="g")
    request = world.start("j", group_id="g")
    world.tracker.finish(FinishRequest(start=request, outcome=Outcome.REPLACED))
    assert the_only(world).said == (
        "was replaced by a chain or a group, whose last task has not been sent yet"
    )


def test_broker_that_is_away_is_asked_once_and_leaves_the_rest(world, caplog):
    world.group()
    for number in range(3):
        world.enqueue(f"j{number}", group_id="g")
    world.ports.broker_error = OSError("no broker")
    found = why(world)
    assert [member.is_queue_consumed for member in found.members] == [None] * 3
    assert [record.message for record in caplog.records] == [
        "the broker cannot be asked about queues: no broker"
    ]


def test_only_so_many_members_are_looked_at_and_the_others_counted(world):
    world.group()
    for number in range(30):
        world.enqueue(f"j{number}", group_id="g")
    for number in (25, 26):
        world.start(f"j{number}", group_id="g")
    found = why(world, limit=5)
    assert [member.state for member in found.members] == [JobState.STARTED] * 2 + [JobState.ENQUEUED] * 3
    assert found.others == {JobState.ENQUEUED: 25}


# -- groups ------------------------------------------------------------------------------------------


def test_group_that_has_finished_says_so(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.run("j")
    world.clock.advance(60)
    found = why(world)
    assert (found.is_finished, found.said, found.members) == (
        True,
        ("it has finished as SUCCEEDED, 1 min ago",),
        (),
    )


def test_group_says_what_is_left_and_when_it_is_looked_at(world):
    world.group(time_to_check=30)
    for number in range(3):
        world.enqueue(f"j{number}", group_id="g")
    world.run("j0")
    assert why(world).said == ("2 of 3 jobs outstanding", "it is looked at next in 30 s")
    world.clock.advance(200)
    assert why(world).said[-1] == "its check has been due for 2 min 50 s: no checker seems to run"


def test_group_that_had_no_job_says_so(world):
    world.group()
    found = why(world)
    assert (found.is_finished, found.said) == (False, ("it has had no job in this generation",))


def test_batch_that_is_not_sealed_says_so(world):
    world.group(standing=False)
    world.enqueue("j", group_id="g")
    world.run("j")
    assert why(world).said[0] == (
        "it is not sealed, and nobody holds it open: if its dispatch broke off, make it again with its key; "
        "else seal() it, or seal(incomplete=True) if jobs are missing"
    )
    world.store.begin_filling("g", "0123456789", 30)
    assert why(world).said[1].startswith("it is not sealed: it may get more jobs until its dispatch ends")


def test_batch_that_is_incomplete_says_so_and_what_to_do(world):
    world.group(standing=False)
    world.enqueue("j", group_id="g")
    world.store.seal_group("g", incomplete=True)
    left, incomplete, to_do, *_ = why(world).said
    assert left == "1 of 1 job outstanding"
    broken = "it is incomplete: its dispatch broke off, so that some of its jobs may be missing"
    assert incomplete == f"{broken}; as it is, it ends as FAILED"
    how = (
        "by the same call again if that had a key, else by add(); retry_failed() runs those that are recorded"
    )
    assert to_do == f"reopen() it when it is over and dispatch the missing ones: {how}"
    world.run("j")
    found = why(world)
    assert found.is_finished
    assert found.said == (
        "it has finished as FAILED, now",
        broken,
        f"reopen() it and dispatch the missing ones: {how}",
    )


def test_batch_that_was_cancelled_before_it_was_sealed_says_that_jobs_may_be_missing(world):
    world.group(standing=False)
    world.enqueue("j", group_id="g")
    world.store.cancel_group("g")
    world.store.seal_group("g", incomplete=True)
    world.checker.tick()
    found = why(world)
    assert found.is_finished
    missing = (
        "so that some of its jobs may be missing: reopen() it and dispatch the missing ones, or seal() it if "
        "there are none"
    )
    assert found.said == (
        "it has finished as CANCELLED, now",
        f"it was not sealed before it was over, {missing}",
    )


def test_standing_group_that_is_incomplete_need_not_be_reopened(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.store.seal_group("g", incomplete=True)
    _, incomplete, to_do, *_ = why(world).said
    assert incomplete.startswith("it is incomplete: its dispatch broke off")
    assert to_do.startswith("dispatch the missing ones, in its next generation if it is over: ")


def test_group_that_is_filled_says_by_whom_and_until_when(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.run("j")
    world.enqueue("k", group_id="g")
    world.store.begin_filling("g", "0123456789", 30)
    assert why(world).said[1] == (
        "somebody (01234567) is filling it, and holds it open: until 30 s from now unless that is renewed"
    )
    world.clock.advance(40)
    assert why(world).said[1] == "somebody (01234567) who filled it has not been heard of since 10 s ago"


def test_group_that_settles_says_how_long_yet(world):
    world.group(settle_after=60)
    world.enqueue("j", group_id="g")
    world.run("j")
    world.clock.advance(20)
    assert why(world).said[0] == "it completes when it has had nothing to do for 1 min: in 40 s"
    world.clock.advance(50)
    assert why(world).said[0].endswith(": at its next check")


def test_group_that_was_cancelled_says_what_it_waits_for(world):
    world.group()
    world.enqueue("j", group_id="g")
    world.start("j", group_id="g")
    world.store.cancel_group("g")
    found = why(world)
    assert found.said[0].startswith("it was cancelled")
    assert found.members[0].said.startswith("started")


def test_group_whose_jobs_have_ended_waits_for_its_callbacks(world):
    then = Callback(kind=CallbackKind.THEN, number=0, task="shop.notify", signature="{}")
    last = Callback(kind=CallbackKind.FINALLY, number=0, task="shop.clean", signature="{}")
    world.group(callbacks=(then, last))
    world.enqueue("j", group_id="g")
    world.run("j")
    found = why(world)
    assert not found.is_finished
    assert found.said[:2] == ("all of its jobs have ended, now", "it waits for 2 callbacks")
    assert [(c.kind, c.task, c.state, c.said) for c in found.callbacks] == [
        (CallbackKind.THEN, "shop.notify", JobState.ENQUEUED, "queued for 0 ms on 'q'"),
        (CallbackKind.FINALLY, "shop.clean", JobState.ENQUEUED, "queued for 0 ms on 'q', 1 before it"),
    ]


def test_group_whose_callbacks_nobody_has_sent(world):
    last = Callback(kind=CallbackKind.FINALLY, number=0, task="shop.clean", signature="{}")
    world.ports.delivers = False
    world.group(callbacks=(last,))
    world.enqueue("j", group_id="g")
    world.run("j")
    (callback,) = why(world).callbacks
    assert (callback.state, callback.said) == (
        None,
        "is not sent yet: the event that sends it is not delivered",
    )


def test_groups_in_groups_are_explained_too(world):
    world.group()
    world.group(id="child", title="Child", parent_id="g")
    origin = Origin(job_id="child", task=GROUP_TASK, group_id="g")
    world.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
    world.enqueue("j", group_id="child")
    member = the_only(world)
    assert member.said == "is the group 'Child': 1 of 1 job outstanding"
    assert [inner.job_id for inner in member.group.members] == ["j"]


def test_member_that_stands_for_a_group_that_is_gone(world):
    world.group()
    origin = Origin(job_id="child", task=GROUP_TASK, group_id="g")
    world.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
    assert the_only(world).said.endswith("run jobtrack doctor --repair")


# -- jobs that are parked ----------------------------------------------------------------------------


def _parked(world):
    world.group()
    claims = (Claim(key="k"),)
    request = world.start("has", claims=claims)
    world.enqueue("j", group_id="g", claims=claims)
    return request


def test_parked_job_that_stands_in_no_line_sends_to_the_doctor(world):
    _parked(world)
    del world.store._tables.places["k", "j"]
    assert the_only(world).said.startswith(
        "waits for the lock 'k', and is not in its line: run jobtrack doctor"
    )


@pytest.mark.parametrize(
    ("claim", "more", "said"),
    [
        (
            {"key": "starts:x", "kind": Kind.RATE, "interval": 90.0},
            {},
            "waits for the rate 'starts:x', which lets one start in 1 min 30 s, number 1 of 1 in line",
        ),
        (
            {"key": "deadline:q", "kind": Kind.QUEUE, "until_start": True},
            {},
            "waits for jobs with an earlier deadline to start, number 1 of 1 in line",
        ),
        (
            {"key": "clock:x", "kind": Kind.CLOCK, "until_start": True},
            {"eta": timedelta(hours=3)},
            "waits in the store until it is due in 3 h, number 1 of 1 in line",
        ),
    ],
)
def test_member_that_waits_for_its_time_says_for_which(world, claim, more, said):
    world.group()
    later = world.store.now() + timedelta(hours=3)
    moment = {} if claim["kind"] is Kind.RATE else {"at": later}
    claims = (Claim(**claim, **moment),)
    if claim["kind"] is Kind.RATE:
        world.start("has", claims=claims)
    elif claim["kind"] is Kind.QUEUE:
        world.enqueue("has", claims=claims)
    world.enqueue("j", group_id="g", claims=claims, **dict.fromkeys(more, later))
    assert the_only(world).said.startswith(said)


def test_parked_job_that_has_left_its_line_meanwhile_is_no_fault(world, monkeypatch):
    request = _parked(world)
    ask = world.store.places

    def places(key, limit):
        world.finish(request)
        world.tracker.turns.call(["j"])
        world.store.settle(SettleRequest(origin=world.origin("j"), state=JobState.REVOKED))
        return ask(key, limit)

    monkeypatch.setattr(world.store, "places", places)
    assert the_only(world).said == "has just left the line of the lock 'k'; nobody has it"


def test_holder_that_has_ended_and_not_left_sends_to_the_doctor(world):
    _parked(world)
    tables = world.store._tables
    tables.jobs["has"] = tables.jobs["has"].evolve(state=JobState.SUCCESS, token=None)
    assert the_only(world).said.endswith(
        "has it, and has ended as SUCCESS: run jobtrack doctor if that stays so"
    )
