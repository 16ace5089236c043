"""Races that threads would seldom hit: here the second operation begins before the first commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import GroupCompleted, GroupNotCompleted, InvalidPayload, UnknownJob
from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.job import Progress
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome
from celery_jobtrack.testing import Clock, steps
from tests.contract.backends import ROW_NAMES
from tests.contract.interleaving import interleave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.row import RowStore
    from tests.contract.backends import Backend

COMPLETED = EventKind.COMPLETED

pytestmark = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[RowStore]:
    with backend.fresh(clock) as store:
        yield store


def kinds(*results) -> list[EventKind]:
    events = [event for result in results for event in getattr(result, "events", result)]
    return [event.kind for event in events]


def test_two_last_members_do_not_miss_each_other(store, clock):
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")
    done = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: steps.finish(store, "b", "tb", group_id="g"),
    )
    assert [result.applied for result in done] == [True, True]
    assert steps.the_group(store).is_over
    assert steps.the_group(store).totals.succeeded == 2
    assert kinds(steps.all_events(store, clock)) == [EventKind.STARTED, COMPLETED]


def test_two_first_members_start_the_group_once(store):
    steps.group(store)
    for name in ("a", "b"):
        steps.enqueue(store, name, group_id="g")
    began = interleave(
        store,
        lambda: steps.start(store, "a", "ta", group_id="g"),
        lambda: steps.start(store, "b", "tb", group_id="g"),
    )
    assert all(result.admitted for result in began)
    assert kinds(*began) == [EventKind.STARTED]


def test_acknowledgement_waits_for_a_completion_that_is_being_written(store):
    steps.group(store)
    (started,) = steps.start(store, group_id="g").events
    results = interleave(
        store,
        lambda: steps.finish(store, group_id="g"),
        lambda: store.acknowledge_event(started.id, store.claimant),
    )
    assert kinds(*results) == [COMPLETED]
    assert not store.has_due_events()


def test_completion_waits_for_an_acknowledgement_that_is_being_written(store):
    steps.group(store)
    (started,) = steps.start(store, group_id="g").events
    results = interleave(
        store,
        lambda: store.acknowledge_event(started.id, store.claimant),
        lambda: steps.finish(store, group_id="g"),
    )
    assert kinds(*results) == [COMPLETED]
    assert not store.has_due_events()


def test_acknowledgement_waits_for_the_next_generation_that_starts(store):
    steps.group(store)
    (started,) = steps.start(store, "a", "ta", group_id="g").events
    steps.finish(store, "a", "ta", group_id="g")
    (completed,) = store.acknowledge_event(started.id, store.claimant)
    steps.enqueue(store, "b", group_id="g")
    results = interleave(
        store,
        lambda: steps.start(store, "b", "tb", group_id="g"),
        lambda: store.acknowledge_event(completed.id, store.claimant),
    )
    assert kinds(*results) == [EventKind.STARTED]
    assert not store.has_due_events()


@pytest.mark.parametrize("seconds", [1, None])
def test_postponement_does_not_take_a_delivery_back(store, clock, seconds):
    steps.group(store)
    (started,) = steps.start(store, group_id="g").events
    interleave(
        store,
        lambda: store.acknowledge_event(started.id, store.claimant),
        lambda: store.postpone_event(started.id, "late", seconds=seconds),
    )
    assert not steps.all_events(store, clock)
    assert store.event_counts() == EventCounts()


def test_two_acknowledgements_give_the_next_event_once(store):
    steps.group(store)
    steps.enqueue(store, group_id="g")
    (started,) = steps.settle(store).events
    results = interleave(
        store,
        lambda: store.acknowledge_event(started.id, "one"),
        lambda: store.acknowledge_event(started.id, "two"),
    )
    assert kinds(*results) == [COMPLETED]


def test_two_claims_give_an_event_once(store):
    store.delivers = lambda: False
    steps.group(store)
    store.mark_running("g")
    results = interleave(
        store,
        lambda: store.claim_events("one", group_id="g"),
        lambda: store.claim_events("two", group_id="g"),
        transactions=2,
    )
    assert kinds(*results) == [EventKind.STARTED]


def test_member_added_while_the_last_one_ends_holds_the_group(store):
    steps.group(store)
    steps.start(store, "a", "ta", group_id="g")
    interleave(
        store,
        lambda: steps.enqueue(store, "b", group_id="g"),
        lambda: steps.finish(store, "a", "ta", group_id="g"),
    )
    record = steps.the_group(store)
    assert (record.generation, record.outstanding, record.is_over) == (1, 1, False)


def test_member_added_after_the_last_one_ended_begins_a_generation(store):
    steps.group(store)
    steps.start(store, "a", "ta", group_id="g")
    _, added = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: steps.enqueue(store, "b", group_id="g"),
    )
    record = steps.the_group(store)
    assert (record.generation, record.outstanding, record.is_over) == (2, 1, False)
    assert added.job.generation == 2


def test_member_added_while_its_batch_completes_is_refused(store):
    steps.batch(store)
    steps.start(store, "a", "ta", group_id="g")
    store.seal_group("g")

    def add():
        with pytest.raises(GroupCompleted):
            steps.enqueue(store, "b", group_id="g")

    interleave(store, lambda: steps.finish(store, "a", "ta", group_id="g"), add)
    assert store.job("b") is None
    assert steps.the_group(store).totals.total == 1


def test_filler_that_comes_while_the_last_one_ends_holds_the_group(store):
    steps.group(store)
    steps.start(store, group_id="g")
    interleave(
        store,
        lambda: store.begin_filling("g", "f", 60),
        lambda: steps.finish(store, group_id="g"),
    )
    assert not steps.the_group(store).is_over
    assert store.end_filling("g", "f").group.is_over


@pytest.mark.parametrize("operation", ["start", "finish", "settle"])
def test_unknown_member_of_a_group_that_is_being_cancelled_is_no_error(store, operation):
    steps.group(store)
    steps.enqueue(store, "a", group_id="g")
    calls = {
        "start": lambda: steps.start(store, "new", "tn", group_id="g"),
        "finish": lambda: steps.finish(store, "new", "tn", group_id="g"),
        "settle": lambda: steps.settle(store, "new", group_id="g"),
    }
    interleave(store, lambda: store.cancel_group("g"), calls[operation])
    record = steps.the_group(store)
    assert (record.state, record.totals.total) == (GroupState.CANCELLED, 1)
    assert steps.the_job(store, "new").generation is None
    assert store.recompute_group("g").repaired is None


@pytest.mark.parametrize("operation", ["start", "finish", "settle"])
def test_unknown_member_of_a_batch_that_is_completing_is_no_error(store, operation):
    steps.batch(store)
    calls = {
        "start": lambda: steps.start(store, "new", "tn", group_id="g"),
        "finish": lambda: steps.finish(store, "new", "tn", group_id="g"),
        "settle": lambda: steps.settle(store, "new", group_id="g"),
    }
    interleave(store, lambda: store.seal_group("g"), calls[operation])
    assert steps.the_group(store).totals.total == 0
    assert steps.the_job(store, "new").generation is None


@pytest.mark.parametrize("enqueue_first", [True, False])
def test_enqueue_and_start_of_one_id_make_one_job(store, enqueue_first):
    steps.group(store)

    def enqueue():
        steps.enqueue(store, group_id="g", args="(1,)", message=b"m")

    def start():
        assert steps.start(store, group_id="g").admitted

    interleave(store, *((enqueue, start) if enqueue_first else (start, enqueue)))
    job = steps.the_job(store)
    assert (job.state, job.attempts, job.args) == (JobState.STARTED, 1, "(1,)")
    assert store.message("job") == b"m"
    assert steps.the_group(store).totals.total == 1


def test_two_starts_of_one_job_admit_the_first(store):
    steps.enqueue(store)
    first, second = interleave(
        store, lambda: steps.start(store, "job", "t1"), lambda: steps.start(store, "job", "t2")
    )
    assert (first.admitted, second.admitted) == (True, False)
    assert steps.the_job(store).copy_waiting


def test_start_waits_for_a_settlement(store):
    steps.enqueue(store)
    _, began = interleave(store, lambda: store.request_cancel("job"), lambda: steps.start(store))
    assert began.refusal is Refusal.FINAL
    assert steps.the_job(store).state is JobState.REVOKED


def test_settlement_waits_for_a_start(store):
    steps.enqueue(store)
    _, settled = interleave(store, lambda: steps.start(store), lambda: steps.settle(store))
    assert not settled.applied
    assert steps.the_job(store).state is JobState.STARTED


def test_retry_waits_for_the_reaper(store):
    steps.start(store, "job", "t1")
    _, late = interleave(
        store,
        lambda: steps.settle(store, "job", JobState.FAILURE, guards={"token": "t1"}),
        lambda: steps.retry(store, "job", "t1"),
    )
    assert not late.applied
    assert steps.the_job(store).state is JobState.FAILURE


def test_progress_waits_for_the_end(store):
    steps.start(store)
    _, recorded = interleave(
        store,
        lambda: steps.finish(store),
        lambda: store.record_progress("job", "t1", Progress(current=1)),
    )
    assert recorded is False
    assert steps.the_job(store).state is JobState.SUCCESS


def test_finish_waits_for_the_reaper(store):
    steps.start(store, "job", "t1")
    _, late = interleave(
        store,
        lambda: steps.settle(store, "job", JobState.FAILURE, guards={"token": "t1"}),
        lambda: steps.finish(store, "job", "t1"),
    )
    assert not late.applied
    assert steps.the_job(store).state is JobState.FAILURE


def test_copy_is_not_claimed_while_the_job_starts(store):
    steps.enqueue(store)
    seen = steps.the_job(store)
    _, claimed = interleave(store, lambda: steps.start(store), lambda: store.claim_copy(seen))
    assert claimed is False


def test_recompute_sees_no_half_of_a_transition(store):
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")
    _, changed = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: store.recompute_group("g"),
    )
    assert changed.repaired is None
    changed, _ = interleave(
        store,
        lambda: store.recompute_group("g"),
        lambda: steps.finish(store, "b", "tb", group_id="g"),
    )
    assert changed.repaired is None
    assert steps.the_group(store).totals.succeeded == 2


def test_two_creators_of_one_key_get_one_group(store):
    first, second = interleave(
        store,
        lambda: steps.group(store, "g1", key="nightly"),
        lambda: steps.group(store, "g2", key="nightly"),
    )
    assert first.id == second.id


def forget_unless_refused(store):
    try:
        store.forget_job("job")
    except (InvalidPayload, UnknownJob, GroupNotCompleted) as error:
        return type(error)
    return None


def redrive_unless_unknown(store):
    try:
        return steps.redrive(store).applied
    except UnknownJob:
        return None


def test_forgetting_waits_for_a_redrive_that_is_being_written(store):
    steps.enqueue(store, message=b"kept")
    steps.run(store, "job", Outcome.FAILURE)
    done = interleave(store, lambda: redrive_unless_unknown(store), lambda: forget_unless_refused(store))
    assert done == (True, InvalidPayload)
    assert (steps.the_job(store).run, store.message("job"), len(store.attempts("job"))) == (2, b"kept", 1)


def test_redrive_waits_for_a_forgetting_that_is_being_written(store):
    steps.enqueue(store, message=b"kept")
    steps.run(store, "job", Outcome.FAILURE)
    done = interleave(store, lambda: forget_unless_refused(store), lambda: redrive_unless_unknown(store))
    assert done == (None, None)
    assert (store.job("job"), store.message("job"), list(store.attempts("job"))) == (None, None, [])


def _batch_with_a_failure(store, clock):
    steps.batch(store)
    for job_id in ("job", "bad"):
        steps.enqueue(store, job_id, group_id="g")
    store.seal_group("g")
    steps.run(store, "job", group_id="g")
    steps.run(store, "bad", Outcome.FAILURE, group_id="g")
    steps.all_events(store, clock)


def test_forgetting_a_member_waits_for_its_batch_that_is_being_reopened(store, clock):
    _batch_with_a_failure(store, clock)
    _, refused = interleave(store, lambda: steps.redrive(store, "bad"), lambda: forget_unless_refused(store))
    assert refused is GroupNotCompleted
    assert steps.the_job(store).is_final


def test_batch_that_is_reopened_waits_for_a_member_that_is_being_forgotten(store, clock):
    _batch_with_a_failure(store, clock)
    interleave(store, lambda: store.forget_job("job"), lambda: steps.redrive(store, "bad"))
    assert store.recompute_group("g").repaired is None
    steps.run(store, "bad", group_id="g", run=2)
    assert steps.the_group(store).totals == Totals(total=2, succeeded=2)
