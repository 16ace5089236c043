"""Counting a group anew, and finding the groups for which it is time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import enqueue, group, run, start, the_group

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class RecomputeContract:
    """``recompute_group`` and ``due_groups``. That drift is repaired needs a backend that can drift."""

    def test_recompute_of_right_counters_repairs_nothing(self, store: Store) -> None:
        group(store)
        for number in range(6):
            enqueue(store, f"j{number}", group_id="g")
        start(store, "j0", "t0", group_id="g")
        run(store, "j1", Outcome.SUCCESS, group_id="g")
        run(store, "j2", Outcome.FAILURE, group_id="g")
        run(store, "j3", Outcome.REVOKED, group_id="g")
        run(store, "j4", Outcome.SKIPPED, group_id="g")
        before = the_group(store)
        changed = store.recompute_group("g")
        assert changed.repaired is None
        assert changed.group.totals == before.totals == the_group(store).totals
        assert changed.events == ()

    def test_recompute_counts_the_present_generation(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        changed = store.recompute_group("g")
        assert changed.repaired is None
        assert (changed.group.totals.total, changed.group.generation) == (1, 2)

    def test_recompute_leaves_uncounted_jobs_out(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        store.cancel_group("g")
        start(store, "late", "tl", group_id="g")
        assert store.recompute_group("g").repaired is None

    def test_recompute_of_a_completed_group_changes_nothing(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        before = the_group(store)
        changed = store.recompute_group("g")
        assert (changed.events, changed.repaired) == ((), None)
        assert the_group(store) == before

    def test_group_is_due_when_its_time_to_check_has_come(self, store: Store, clock: Clock) -> None:
        group(store, time_to_check=30)
        clock.advance(100)
        assert not store.due_groups(10)
        enqueue(store, group_id="g")
        assert not store.due_groups(10)
        clock.advance(31)
        assert list(store.due_groups(10)) == ["g"]
        store.recompute_group("g")
        assert not store.due_groups(10)
        clock.advance(31)
        assert list(store.due_groups(10)) == ["g"]

    def test_group_that_has_completed_is_never_due(self, store: Store, clock: Clock) -> None:
        group(store, time_to_check=30)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        clock.advance(1000)
        assert not store.due_groups(10)

    def test_due_groups_begin_with_the_longest_overdue(self, store: Store, clock: Clock) -> None:
        for number, seconds in enumerate((50, 10, 30, 20, 40)):
            group(store, f"g{number}", time_to_check=seconds)
            enqueue(store, f"j{number}", group_id=f"g{number}")
        clock.advance(45)
        assert list(store.due_groups(10)) == ["g1", "g3", "g2", "g4"]
        assert list(store.due_groups(2)) == ["g1", "g3"]
