"""Groups that are over: what follows their completion, and how they begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupCancelled, UnknownGroup
from celery_jobtrack.model.group import Totals
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
    group,
    redrive,
    run,
    settle,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

FINALLY = (callback(CallbackKind.FINALLY),)
CATCH = (callback(CallbackKind.CATCH),)


def completed_batch(store: Store, *, incomplete: bool = False, **more: Any) -> None:
    """A batch of two that is over: one has succeeded, one has failed."""
    batch(store, **more)
    run(store, "a", group_id="g")
    run(store, "b", Outcome.FAILURE, group_id="g")
    store.seal_group("g", incomplete=incomplete)


class ReopenContract:
    """``reopen_group`` and ``close_group``."""

    def test_reopened_batch_keeps_the_numbers_of_members_that_were_pruned(
        self, store: Store, clock: Clock
    ) -> None:
        completed_batch(store)
        all_events(store, clock)
        clock.advance(100)
        assert store.prune_jobs(JobState.SUCCESS, store.now(), 10) == 1
        assert redrive(store, "b").applied
        assert store.recompute_group("g").repaired is None
        assert the_group(store).totals == Totals(total=2, succeeded=1)
        run(store, "b", group_id="g", run=2)
        record = the_group(store)
        assert (record.is_over, record.totals) == (True, Totals(total=2, succeeded=2))

    def test_batch_is_reopened_with_its_numbers(self, store: Store, clock: Clock) -> None:
        completed_batch(store)
        all_events(store, clock)
        changed = store.reopen_group("g", "f", 60, keep_totals=True)
        record = the_group(store)
        assert changed.group == record
        assert changed.events == ()
        assert (record.generation, record.base_generation, record.state) == (2, 1, GroupState.AWAITING)
        assert (record.started_at, record.completed_at, record.first_failure) == (None, None, None)
        assert (record.sealed, record.incomplete) == (True, False)
        assert record.totals == Totals(total=2, succeeded=1, failed=1)
        enqueue(store, "c", group_id="g")
        assert the_job(store, "c").generation == 2
        run(store, "c", group_id="g")
        assert not the_group(store).is_over, "it is held"
        assert store.recompute_group("g").repaired is None
        store.end_filling("g", "f")
        record = the_group(store)
        assert (record.is_over, record.totals) == (True, Totals(total=3, succeeded=2, failed=1))
        assert [(event.generation, event.kind) for event in all_events(store, clock)] == [
            (2, EventKind.STARTED),
            (2, EventKind.COMPLETED),
        ]

    def test_batch_that_was_over_before_it_was_sealed_completes_when_it_runs_again(
        self, store: Store
    ) -> None:
        batch(store, cancels_on_failure=True)
        run(store, "a", Outcome.FAILURE, group_id="g")
        assert (the_group(store).is_over, the_group(store).sealed) == (True, False)
        redrive(store, "a")
        assert the_group(store).sealed, "nobody would seal it"
        run(store, "a", run=2, group_id="g")
        record = the_group(store)
        assert (record.is_over, record.outcome) == (True, GroupOutcome.FAILED), "nobody said that it is whole"

    @pytest.mark.parametrize(("incomplete", "outcome"), [(False, "SUCCEEDED"), (True, "FAILED")])
    def test_batch_that_was_over_before_it_was_sealed_is_told_whether_it_is_whole(
        self, store: Store, clock: Clock, incomplete: bool, outcome: str
    ) -> None:
        batch(store, cancels_on_failure=True)
        run(store, "a", Outcome.FAILURE, group_id="g")
        all_events(store, clock)
        changed = store.seal_group("g", incomplete=incomplete)
        assert (changed.group.sealed, changed.group.incomplete, changed.events) == (True, incomplete, ())
        assert store.seal_group("g", incomplete=not incomplete).group.incomplete is incomplete
        redrive(store, "a")
        run(store, "a", run=2, group_id="g")
        assert the_group(store).outcome == outcome

    def test_batch_that_lacks_members_goes_on_lacking_them_when_those_it_has_run_again(
        self, store: Store
    ) -> None:
        completed_batch(store, incomplete=True)
        for number in (2, 3):
            redrive(store, "b")
            assert (the_group(store).sealed, the_group(store).incomplete) == (True, True)
            last = Outcome.FAILURE if number == 2 else Outcome.SUCCESS
            run(store, "b", last, run=number, group_id="g")
        record = the_group(store)
        assert record.totals == Totals(total=2, succeeded=2)
        assert (record.is_over, record.outcome) == (True, GroupOutcome.FAILED)

    def test_batch_that_is_reopened_for_what_it_lacks_waits_until_it_is_sealed(self, store: Store) -> None:
        completed_batch(store, incomplete=True, callbacks=CATCH)
        redrive(store, "b")
        run(store, "b", run=2, group_id="g")
        store.reopen_group("g", "f", 60, keep_totals=True)
        assert (the_group(store).sealed, the_group(store).incomplete) == (False, False)
        run(store, "c", group_id="g")
        store.end_filling("g", "f")
        assert not the_group(store).is_over
        store.seal_group("g")
        record = the_group(store)
        assert (record.is_over, record.outcome) == (True, GroupOutcome.SUCCEEDED)
        assert record.totals == Totals(total=3, succeeded=3)

    def test_batch_that_lacked_members_lacks_them_again_if_who_reopened_it_says_so(
        self, store: Store, clock: Clock
    ) -> None:
        completed_batch(store, incomplete=True, callbacks=CATCH)
        all_events(store, clock)
        store.reopen_group("g", "f", 60, keep_totals=True)
        store.seal_group("g", incomplete=True)
        store.end_filling("g", "f")
        assert (the_group(store).is_over, the_group(store).outcome) == (True, GroupOutcome.FAILED)
        assert [event.kind for event in all_events(store, clock)] == [
            EventKind.STARTED,
            EventKind.FAILED,
            EventKind.COMPLETED,
        ]

    @pytest.mark.parametrize(("callbacks", "stays"), [((), False), (CATCH, True)])
    def test_incomplete_batch_is_whole_if_that_is_said_before_its_failure_was_told(
        self, store: Store, callbacks: Any, stays: bool
    ) -> None:
        batch(store, callbacks=callbacks)
        enqueue(store, "a", group_id="g")
        store.seal_group("g", incomplete=True)
        assert store.seal_group("g").group.incomplete is stays
        run(store, "a", group_id="g")
        assert the_group(store).outcome == ("FAILED" if stays else "SUCCEEDED")

    @pytest.mark.parametrize(("callbacks", "outcome"), [((), "SUCCEEDED"), (CATCH, "FAILED")])
    def test_failure_that_was_told_is_made_good_by_another_generation_only(
        self, store: Store, clock: Clock, callbacks: Any, outcome: str
    ) -> None:
        batch(store, callbacks=callbacks)
        run(store, "a", Outcome.FAILURE, group_id="g")
        redrive(store, "a")
        run(store, "a", run=2, group_id="g")
        store.seal_group("g")
        assert (the_group(store).totals, the_group(store).outcome) == (Totals(total=1, succeeded=1), outcome)
        completed = all_events(store, clock)[-1]
        assert (completed.kind, completed.outcome) == (EventKind.COMPLETED, outcome)
        store.reopen_group("g", "f", 60, keep_totals=True)
        store.end_filling("g", "f")
        assert the_group(store).outcome is GroupOutcome.SUCCEEDED

    def test_hold_of_a_filler_that_died_is_kept_until_the_batch_is_sealed(
        self, store: Store, clock: Clock
    ) -> None:
        batch(store)
        store.begin_filling("g", "dead", 30)
        clock.advance(31)
        for _ in range(2):
            store.begin_filling("g", "living", 30)
            store.end_filling("g", "living")
        assert list(store.fillers("g")) == ["dead"], "who would know otherwise that its dispatcher died?"
        enqueue(store, "a", group_id="g")
        store.seal_group("g", incomplete=True)
        store.begin_filling("g", "living", 30)
        store.end_filling("g", "living")
        assert store.fillers("g") == {}

    def test_group_is_reopened_with_nothing_in_it(self, store: Store) -> None:
        completed_batch(store)
        store.reopen_group("g", "f", 60, keep_totals=False)
        record = the_group(store)
        assert (record.generation, record.base_generation) == (2, 2)
        assert (record.totals, record.earlier) == (Totals(), Totals(total=2, succeeded=1, failed=1))
        run(store, "c", group_id="g")
        store.end_filling("g", "f")
        assert the_group(store).totals == Totals(total=1, succeeded=1)
        assert the_group(store).lifetime == Totals(total=3, succeeded=2, failed=1)

    def test_numbers_that_were_kept_move_on_together(self, store: Store) -> None:
        completed_batch(store)
        store.reopen_group("g", "f", 60, keep_totals=True)
        store.end_filling("g", "f")
        assert the_group(store).is_over
        store.reopen_group("g", "f", 60, keep_totals=True)
        record = the_group(store)
        assert (record.generation, record.base_generation, record.totals.total) == (3, 1, 2)
        store.end_filling("g", "f")
        store.reopen_group("g", "f", 60, keep_totals=False)
        record = the_group(store)
        assert (record.generation, record.base_generation, record.earlier.total) == (4, 4, 2)

    def test_group_that_is_not_over_is_only_held(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        store.reopen_group("g", "f", 60, keep_totals=True)
        run(store, "a", group_id="g")
        record = the_group(store)
        assert (record.generation, record.is_over, record.totals.succeeded) == (1, False, 1)
        store.end_filling("g", "f")
        assert the_group(store).is_over

    def test_hold_of_a_filler_that_dies_runs_out(self, store: Store, clock: Clock) -> None:
        completed_batch(store)
        store.reopen_group("g", "f", 30, keep_totals=True)
        clock.advance(31)
        assert list(store.due_groups(10)) == ["g"]
        store.recompute_group("g")
        assert the_group(store).is_over

    def test_group_that_is_being_cancelled_cannot_be_reopened(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        with pytest.raises(GroupCancelled, match="1 of its members have not ended"):
            store.reopen_group("g", "f", 60, keep_totals=True)
        settle(store, "a", JobState.REVOKED, Reason.GROUP_CANCELLED)
        assert the_group(store).is_over
        record = store.reopen_group("g", "f", 60, keep_totals=True).group
        assert (record.state, record.generation) == (GroupState.AWAITING, 2)
        enqueue(store, "b", group_id="g")
        assert the_group(store).totals == Totals(total=2, revoked=1)

    def test_unknown_group_is_neither_reopened_nor_closed(self, store: Store) -> None:
        with pytest.raises(UnknownGroup, match="nobody"):
            store.reopen_group("nobody", "f", 60, keep_totals=True)
        with pytest.raises(UnknownGroup, match="nobody"):
            store.close_group("nobody")

    def test_group_with_callbacks_is_looked_after_until_it_is_closed(
        self, store: Store, clock: Clock
    ) -> None:
        completed_batch(store, callbacks=FINALLY, time_to_check=30.0)
        for _ in range(2):
            clock.advance(31)
            assert list(store.due_groups(10)) == ["g"]
            assert store.recompute_group("g").events == ()
            assert list(store.due_groups(10)) == []
        closed = store.close_group("g").group
        assert (closed.closed_at is None, closed.next_check_at) == (False, None)
        assert the_group(store) == closed
        clock.advance(31)
        assert list(store.due_groups(10)) == []
        assert store.recompute_group("g").group.next_check_at is None

    def test_member_of_another_group_needs_closing_too(self, store: Store) -> None:
        completed_batch(store, parent_id="parent")
        assert the_group(store).next_check_at is not None

    def test_group_without_callbacks_is_not_looked_at_again(self, store: Store) -> None:
        completed_batch(store)
        assert the_group(store).next_check_at is None

    def test_group_is_closed_once_and_only_when_it_is_over(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=FINALLY)
        assert store.close_group("g").group.closed_at is None
        store.seal_group("g")
        first = store.close_group("g").group.closed_at
        clock.advance(10)
        assert store.close_group("g").group.closed_at == first

    def test_reopened_group_is_to_be_closed_again(self, store: Store) -> None:
        completed_batch(store, callbacks=FINALLY)
        store.close_group("g")
        store.reopen_group("g", "f", 60, keep_totals=True)
        assert the_group(store).closed_at is None
        store.end_filling("g", "f")
        assert the_group(store).next_check_at is not None

    def test_next_generation_is_to_be_closed_again(self, store: Store) -> None:
        group(store, callbacks=FINALLY)
        run(store, "a", group_id="g")
        store.close_group("g")
        enqueue(store, "b", group_id="g")
        assert the_group(store).closed_at is None

    def test_group_that_needs_closing_is_pruned_when_it_is_closed(self, store: Store, clock: Clock) -> None:
        completed_batch(store, callbacks=FINALLY)
        all_events(store, clock)
        clock.advance(10)
        now = store.now()
        for state in (JobState.SUCCESS, JobState.FAILURE):
            assert store.prune_jobs(state, now, 10) == 1
        assert store.prune_groups(now, 10) == 0
        store.close_group("g")
        assert store.prune_groups(now, 10) == 1
        assert store.group("g") is None

    def test_members_of_a_reopened_batch_are_not_pruned(self, store: Store, clock: Clock) -> None:
        completed_batch(store)
        all_events(store, clock)
        clock.advance(10)
        store.reopen_group("g", "f", 60, keep_totals=True)
        for state in (JobState.SUCCESS, JobState.FAILURE):
            assert store.prune_jobs(state, store.now(), 10) == 0
