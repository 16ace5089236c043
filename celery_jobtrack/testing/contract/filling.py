"""Holding a group's completion open while it is being filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from celery_jobtrack.model.state import EventKind
from celery_jobtrack.testing.steps import all_events, batch, enqueue, finish, group, run, start, the_group

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class FillingContract:
    """``begin_filling`` and ``end_filling``."""

    def test_filling_holds_completion_open(self, store: Store, clock: Clock) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        for number in range(3):
            enqueue(store, f"j{number}", group_id="g")
            run(store, f"j{number}", group_id="g")
            store.recompute_group("g")
            assert not the_group(store).is_over
        assert the_group(store).generation == 1
        changed = store.end_filling("g", "f")
        assert changed.group.is_over
        assert the_group(store).totals.succeeded == 3
        assert [event.kind for event in all_events(store, clock)] == [
            EventKind.STARTED,
            EventKind.COMPLETED,
        ]

    def test_filling_ended_before_the_last_member_completes_with_it(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        assert store.end_filling("g", "f").events == ()
        run(store, "job", group_id="g")
        assert the_group(store).is_over

    def test_filling_by_two_ends_with_the_second(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "one", 60)
        store.begin_filling("g", "two", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        store.end_filling("g", "one")
        assert not the_group(store).is_over
        store.end_filling("g", "two")
        assert the_group(store).is_over

    def test_filling_twice_with_one_token_is_one_hold(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        store.end_filling("g", "f")
        assert the_group(store).is_over

    def test_filling_ended_twice_changes_nothing(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        store.end_filling("g", "f")
        before = the_group(store)
        assert store.end_filling("g", "f").events == ()
        assert the_group(store) == before

    def test_filling_ended_by_a_stranger_is_not_ended(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        store.end_filling("g", "stranger")
        assert not the_group(store).is_over

    def test_filling_of_a_filler_that_died_runs_out(self, store: Store, clock: Clock) -> None:
        group(store, time_to_check=3600)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        assert "g" not in store.due_groups(10)
        clock.advance(61)
        assert "g" in store.due_groups(10)
        assert store.recompute_group("g").group.is_over

    def test_filling_renewed_holds_longer(self, store: Store, clock: Clock) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        clock.advance(40)
        store.begin_filling("g", "f", 60)
        clock.advance(40)
        store.recompute_group("g")
        assert not the_group(store).is_over
        clock.advance(21)
        store.recompute_group("g")
        assert the_group(store).is_over

    def test_filling_renewed_and_abandoned_is_found_in_time(self, store: Store, clock: Clock) -> None:
        group(store, time_to_check=3600)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        clock.advance(30)
        store.begin_filling("g", "f", 60)
        clock.advance(31)
        store.recompute_group("g")
        assert not the_group(store).is_over
        clock.advance(30)
        assert "g" in store.due_groups(10)
        assert store.recompute_group("g").group.is_over

    def test_filling_that_ran_out_lets_the_last_end_complete(self, store: Store, clock: Clock) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        enqueue(store, group_id="g")
        start(store, group_id="g")
        clock.advance(61)
        finish(store, group_id="g")
        assert the_group(store).is_over

    def test_filling_a_completed_batch_is_an_error(self, store: Store) -> None:
        batch(store)
        store.seal_group("g")
        with pytest.raises(GroupCompleted):
            store.begin_filling("g", "f", 60)

    def test_filling_a_cancelled_group_is_an_error(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        store.cancel_group("g")
        with pytest.raises(GroupCancelled):
            store.begin_filling("g", "f", 60)

    def test_filling_a_completed_standing_group_holds_its_next_generation(
        self, store: Store, clock: Clock
    ) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        store.begin_filling("g", "f", 60)
        assert the_group(store).generation == 1
        assert the_group(store).is_over
        for name in ("b", "c"):
            enqueue(store, name, group_id="g")
            run(store, name, group_id="g")
        assert not the_group(store).is_over
        assert the_group(store).generation == 2
        store.end_filling("g", "f")
        assert the_group(store).is_over
        assert the_group(store).totals.total == 2
        assert [event.generation for event in all_events(store, clock)] == [1, 1, 2, 2]

    def test_filling_of_a_group_that_is_over_is_looked_at_until_it_ends(
        self, store: Store, clock: Clock
    ) -> None:
        group(store, time_to_check=3600)
        run(store, "a", group_id="g")
        store.begin_filling("g", "f", 30)
        clock.advance(20)
        store.begin_filling("g", "f", 30)
        for seconds in (11, 31):
            clock.advance(seconds)
            assert "g" in store.due_groups(10)
            assert store.recompute_group("g").group.is_over
        assert the_group(store).next_check_at is None

    def test_filling_nothing_does_not_complete_a_standing_group(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        assert store.end_filling("g", "f").events == ()
        assert not the_group(store).is_over

    def test_filling_holds_a_sealed_batch_open(self, store: Store) -> None:
        batch(store)
        store.begin_filling("g", "f", 60)
        store.seal_group("g")
        assert not the_group(store).is_over
        store.end_filling("g", "f")
        assert the_group(store).is_over
