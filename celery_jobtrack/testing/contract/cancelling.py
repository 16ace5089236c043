"""Cancelling a group: one flag, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    all_events,
    batch,
    enqueue,
    finish,
    group,
    retry,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

BOTH = [EventKind.STARTED, EventKind.COMPLETED]


class CancelContract:
    """``cancel_group``, ``queued_members``, ``cancelled_groups``."""

    def test_cancel_is_a_flag_until_its_members_have_ended(self, store: Store, clock: Clock) -> None:
        group(store)
        for name in ("queued", "running"):
            enqueue(store, name, group_id="g")
        start(store, "running", "tr", group_id="g")
        changed = store.cancel_group("g")
        assert changed.events == ()
        assert (changed.group.state, changed.group.is_over) == (GroupState.CANCELLED, False)
        assert the_job(store, "queued").state is JobState.ENQUEUED
        start(store, "queued", "tq", group_id="g")
        assert not the_group(store).is_over
        finish(store, "running", "tr", group_id="g")
        record = the_group(store)
        assert (record.state, record.is_over) == (GroupState.CANCELLED, True)
        assert (record.totals.revoked, record.totals.succeeded) == (1, 1)
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_cancel_of_an_empty_group_completes_at_once(self, store: Store, clock: Clock) -> None:
        group(store)
        assert [event.kind for event in store.cancel_group("g").events] == [EventKind.STARTED]
        assert the_group(store).is_over
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_cancel_does_not_wait_for_a_filler_or_a_seal(self, store: Store) -> None:
        batch(store, settle_after=100)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        settle(store)
        assert (the_group(store).state, the_group(store).is_over) == (GroupState.CANCELLED, True)

    def test_cancel_repeated_changes_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        before = the_group(store)
        assert store.cancel_group("g").events == ()
        assert the_group(store) == before

    def test_cancel_of_a_completed_group_changes_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        before = the_group(store)
        assert store.cancel_group("g").events == ()
        assert the_group(store) == before

    def test_cancel_makes_the_group_due(self, store: Store, clock: Clock) -> None:
        group(store, time_to_check=3600)
        enqueue(store, group_id="g")
        assert "g" not in store.due_groups(10)
        store.cancel_group("g")
        clock.advance(1)
        assert "g" in store.due_groups(10)

    def test_cancel_reaches_a_member_that_retries(self, store: Store) -> None:
        group(store)
        start(store, group_id="g")
        store.cancel_group("g")
        retry(store, group_id="g")
        assert start(store, "job", "t2", retries=1, group_id="g").settled
        assert the_job(store).reason is Reason.GROUP_CANCELLED
        assert the_group(store).is_over

    def test_cancelled_group_is_not_marked_running(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        assert store.mark_running("g").events == ()
        assert the_group(store).state is GroupState.CANCELLED

    def test_cancelled_groups_are_those_with_members_outstanding(self, store: Store) -> None:
        for name in ("running", "empty", "busy", "done"):
            group(store, name)
        for name in ("running", "busy", "done"):
            enqueue(store, f"{name}-job", group_id=name)
        run(store, "done-job", group_id="done")
        for name in ("empty", "busy", "done"):
            store.cancel_group(name)
        assert list(store.cancelled_groups(10)) == ["busy"]
        settle(store, "busy-job")
        assert not store.cancelled_groups(10)

    def test_cancelled_groups_keep_to_the_limit(self, store: Store) -> None:
        for number in range(5):
            group(store, f"g{number}")
            enqueue(store, f"j{number}", group_id=f"g{number}")
            store.cancel_group(f"g{number}")
        assert len(store.cancelled_groups(3)) == 3
        assert len(store.cancelled_groups(10)) == 5

    def test_queued_members_are_those_that_do_not_run(self, store: Store) -> None:
        group(store)
        group(store, "other")
        for name in ("queued", "running", "retrying", "done"):
            enqueue(store, name, group_id="g")
        enqueue(store, "stranger", group_id="other")
        enqueue(store, "alone")
        start(store, "running", "tr", group_id="g")
        start(store, "retrying", "tt", group_id="g")
        retry(store, "retrying", "tt", 1, group_id="g")
        run(store, "done", Outcome.FAILURE, group_id="g")
        assert {job.id for job in store.queued_members("g", 10)} == {"queued", "retrying"}
        assert len(store.queued_members("g", 1)) == 1
        assert not store.queued_members("nobody", 10)
