"""When a group completes, and that it says so once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.state import (
    CallbackKind,
    EventKind,
    GroupOutcome,
    GroupState,
    JobState,
    Outcome,
    Reason,
)
from celery_jobtrack.testing.steps import (
    all_events,
    batch,
    callback,
    enqueue,
    finish,
    group,
    run,
    settle,
    start,
    the_group,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

BOTH = [EventKind.STARTED, EventKind.COMPLETED]


class CompletingContract:
    """Completion of standing groups and batches, ``seal_group``, ``settle_after``."""

    @pytest.mark.parametrize(
        ("outcome", "counter"),
        [
            (Outcome.SUCCESS, "succeeded"),
            (Outcome.FAILURE, "failed"),
            (Outcome.REVOKED, "revoked"),
            (Outcome.SKIPPED, "skipped"),
            (Outcome.LOST, "failed"),
        ],
    )
    def test_completion_follows_every_way_to_end(
        self, store: Store, clock: Clock, outcome: Outcome, counter: str
    ) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        run(store, "a", outcome, group_id="g")
        assert the_group(store).state is GroupState.RUNNING
        run(store, "b", outcome, group_id="g")
        record = the_group(store)
        assert record.state is GroupState.COMPLETED
        assert record.completed_at is not None
        assert getattr(record.totals, counter) == record.totals.final == 2
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_completion_without_any_start_has_started_first(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        done = settle(store, "job", JobState.FAILURE, Reason.PUBLISH_FAILED)
        assert [event.kind for event in done.events] == [EventKind.STARTED]
        record = the_group(store)
        assert (record.state, record.started_at) == (GroupState.COMPLETED, record.completed_at)
        later = store.acknowledge_event(done.events[0].id, store.claimant)
        assert [event.kind for event in later] == [EventKind.COMPLETED]

    def test_completion_is_announced_once_per_generation(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        finish(store, "job", "t-job", group_id="g")
        store.recompute_group("g")
        store.cancel_group("g")
        store.seal_group("g")
        store.end_filling("g", "nobody")
        store.mark_running("g")
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_completion_waits_for_the_slowest(self, store: Store) -> None:
        group(store)
        enqueue(store, "slow", group_id="g")
        start(store, "slow", "ts", group_id="g")
        for number in range(5):
            enqueue(store, f"j{number}", group_id="g")
            run(store, f"j{number}", group_id="g")
            assert not the_group(store).is_over
        finish(store, "slow", "ts", group_id="g")
        assert the_group(store).is_over

    def test_empty_standing_group_does_not_complete(self, store: Store) -> None:
        group(store)
        store.recompute_group("g")
        store.mark_running("g")
        store.recompute_group("g")
        assert not the_group(store).is_over

    def test_batch_does_not_complete_before_it_is_sealed(self, store: Store) -> None:
        batch(store)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        assert not the_group(store).is_over
        store.recompute_group("g")
        assert not the_group(store).is_over
        changed = store.seal_group("g")
        assert changed.group.is_over
        assert changed.group.sealed
        assert the_group(store).state is GroupState.COMPLETED

    def test_batch_sealed_first_completes_with_its_last_member(self, store: Store) -> None:
        batch(store)
        enqueue(store, group_id="g")
        changed = store.seal_group("g")
        assert changed.events == ()
        assert not changed.group.is_over
        run(store, "job", group_id="g")
        assert the_group(store).is_over

    def test_empty_batch_completes_when_it_is_sealed(self, store: Store, clock: Clock) -> None:
        batch(store)
        changed = store.seal_group("g")
        assert [event.kind for event in changed.events] == [EventKind.STARTED]
        record = the_group(store)
        assert (record.state, record.totals.total) == (GroupState.COMPLETED, 0)
        status = store.group_status("g")
        assert status is not None
        assert status.percent == 100.0
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_seal_repeated_changes_nothing(self, store: Store) -> None:
        batch(store)
        enqueue(store, group_id="g")
        store.seal_group("g")
        before = the_group(store)
        assert store.seal_group("g").events == ()
        assert the_group(store) == before
        assert not before.incomplete

    def test_seal_incomplete_is_remembered(self, store: Store) -> None:
        batch(store, callbacks=(callback(CallbackKind.CATCH),))
        enqueue(store, group_id="g")
        assert store.seal_group("g", incomplete=True).group.incomplete
        store.seal_group("g")
        record = the_group(store)
        assert record.sealed
        assert record.incomplete

    @pytest.mark.parametrize("callbacks", [(), (callback(CallbackKind.CATCH),)])
    def test_standing_group_is_incomplete_for_one_generation(
        self, store: Store, clock: Clock, callbacks: Any
    ) -> None:
        group(store, callbacks=callbacks)
        enqueue(store, "a", group_id="g")
        assert store.seal_group("g", incomplete=True).group.incomplete
        assert not the_group(store).sealed
        run(store, "a", group_id="g")
        assert (the_group(store).is_over, the_group(store).outcome) == (True, GroupOutcome.FAILED)
        run(store, "b", group_id="g")
        record = the_group(store)
        assert (record.generation, record.incomplete) == (2, False)
        assert record.outcome is GroupOutcome.SUCCEEDED
        told = [EventKind.STARTED, *([EventKind.FAILED] if callbacks else []), EventKind.COMPLETED, *BOTH]
        assert [event.kind for event in all_events(store, clock)] == told

    def test_standing_group_that_has_no_members_is_not_incomplete(self, store: Store) -> None:
        before = group(store, callbacks=(callback(CallbackKind.CATCH),))
        assert store.seal_group("g", incomplete=True).events == ()
        assert the_group(store) == before
        run(store, "a", group_id="g")
        assert the_group(store).outcome is GroupOutcome.SUCCEEDED
        over = the_group(store)
        assert store.seal_group("g", incomplete=True).events == ()
        assert the_group(store) == over

    def test_standing_group_is_not_sealed(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        before = the_group(store)
        assert store.seal_group("g").events == ()
        assert the_group(store) == before

    def test_seal_of_a_completed_batch_does_not_make_it_incomplete(self, store: Store) -> None:
        batch(store)
        store.seal_group("g")
        before = the_group(store)
        store.seal_group("g", incomplete=True)
        assert the_group(store) == before

    def test_settle_after_holds_completion_for_a_while(self, store: Store, clock: Clock) -> None:
        group(store, settle_after=30)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        record = the_group(store)
        assert not record.is_over
        assert record.idle_since is not None
        assert "g" not in store.due_groups(10)
        clock.advance(10)
        store.recompute_group("g")
        assert not the_group(store).is_over
        clock.advance(21)
        assert "g" in store.due_groups(10)
        changed = store.recompute_group("g")
        assert changed.group.is_over
        assert changed.repaired is None
        assert [event.kind for event in all_events(store, clock)] == BOTH

    def test_settle_after_begins_again_with_a_new_member(self, store: Store, clock: Clock) -> None:
        group(store, settle_after=30)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        clock.advance(20)
        enqueue(store, "b", group_id="g")
        assert the_group(store).idle_since is None
        clock.advance(20)
        store.recompute_group("g")
        assert not the_group(store).is_over
        run(store, "b", group_id="g")
        store.recompute_group("g")
        assert not the_group(store).is_over
        assert the_group(store).generation == 1
        clock.advance(31)
        store.recompute_group("g")
        assert the_group(store).is_over

    def test_settle_after_is_over_with_the_next_end(self, store: Store, clock: Clock) -> None:
        group(store, settle_after=0.5)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        clock.advance(1)
        store.end_filling("g", "nobody")
        assert the_group(store).is_over
