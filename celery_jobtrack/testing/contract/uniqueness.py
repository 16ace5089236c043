"""Keys that are kept from the dispatch on, and places that run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.lock import Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.testing.keys import KEY, WAIT, assert_free, claim, run_next, standings
from celery_jobtrack.testing.steps import enqueue, finish, redrive, settle, start, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

ALIKE = "alike:report"
UNIQUE = claim(OnConflict.SKIP, key=ALIKE, kind=Kind.UNIQUE, lease=60)
UNTIL_START = claim(OnConflict.SKIP, key=ALIKE, kind=Kind.UNIQUE, until_start=True)


class UniqueContract:
    """``Kind.UNIQUE``, and ``Claim.lease``."""

    def test_second_dispatch_is_skipped_while_the_first_is_queued_or_runs(self, store: Store) -> None:
        assert not enqueue(store, "a", **UNIQUE).held_back
        assert standings(store, ALIKE) == {"a": Standing.HOLDING}
        assert enqueue(store, "b", **UNIQUE).held_back
        job = the_job(store, "b")
        assert (job.state, job.reason, job.blocked_by) == (JobState.SKIPPED, Reason.DUPLICATE, "a")
        assert start(store, "a", "ta", **UNIQUE).admitted
        assert enqueue(store, "c", **UNIQUE).held_back
        finish(store, "a", "ta", **UNIQUE)
        assert_free(store, ALIKE)
        assert not enqueue(store, "d", **UNIQUE).held_back

    def test_second_dispatch_raises_if_it_shall(self, store: Store) -> None:
        enqueue(store, "a", **UNIQUE)
        with pytest.raises(Overlapping):
            enqueue(store, "b", **claim(OnConflict.RAISE, key=ALIKE, kind=Kind.UNIQUE))
        assert store.job("b") is None

    def test_it_lasts_until_the_start_if_it_shall(self, store: Store) -> None:
        enqueue(store, "a", **UNTIL_START)
        assert enqueue(store, "b", **UNTIL_START).held_back
        result = start(store, "a", "ta", **UNTIL_START)
        assert (result.admitted, result.fences) == (True, ())
        assert_free(store, ALIKE)
        assert not enqueue(store, "c", **UNTIL_START).held_back
        finish(store, "a", "ta", **UNTIL_START)
        assert standings(store, ALIKE) == {"c": Standing.HOLDING}

    def test_job_that_is_parked_at_its_start_is_still_unique(self, store: Store) -> None:
        both: dict[str, Any] = {"claims": (*UNTIL_START["claims"], *WAIT["claims"])}
        enqueue(store, "a", **both)
        start(store, "other", "t-other", **WAIT)
        assert start(store, "a", "ta", **both).refusal is Refusal.PARKED
        assert enqueue(store, "b", **both).held_back
        assert the_job(store, "b").state is JobState.SKIPPED
        run_next(store, tuple(finish(store, "other", "t-other", **WAIT).called), "ta2", **both)
        assert_free(store, ALIKE)
        assert enqueue(store, "c", **both).held_back
        assert the_job(store, "c").waits_for == KEY

    def test_lease_that_ran_out_lets_who_waits_go_when_somebody_is_skipped(
        self, store: Store, clock: Clock
    ) -> None:
        start(store, "a", "ta", **claim(lease=60))
        enqueue(store, "b", **claim(lease=60))
        clock.advance(61)
        result = enqueue(store, "c", **claim(OnConflict.SKIP))
        assert (result.held_back, tuple(result.called)) == (True, ("b",))
        run_next(store, tuple(result.called), "tb", **claim(lease=60))

    def test_it_runs_out(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **UNIQUE)
        clock.advance(59)
        assert enqueue(store, "b", **UNIQUE).held_back
        clock.advance(2)
        assert not enqueue(store, "c", **UNIQUE).held_back
        assert standings(store, ALIKE) == {"c": Standing.HOLDING}
        # Whoever had it runs all the same, and its end takes nothing from the other.
        assert start(store, "a", "ta", **UNIQUE).admitted
        finish(store, "a", "ta", **UNIQUE)
        assert standings(store, ALIKE) == {"c": Standing.HOLDING}

    def test_it_holds_for_a_job_that_is_due_later(self, store: Store) -> None:
        later: dict[str, Any] = {"eta": store.now().replace(year=store.now().year + 1)}
        enqueue(store, "a", **UNTIL_START, **later)
        assert enqueue(store, "b", **UNTIL_START, **later).held_back

    def test_every_end_before_the_start_leaves_it(self, store: Store) -> None:
        enqueue(store, "a", **UNTIL_START)
        store.request_cancel("a")
        assert_free(store, ALIKE)

    def test_job_that_runs_again_does_not_ask(self, store: Store) -> None:
        enqueue(store, "a", **UNIQUE)
        settle(store, "a", **UNIQUE)
        enqueue(store, "b", **UNIQUE)
        assert redrive(store, "a").applied
        assert start(store, "a", "ta", run=2, **UNIQUE).admitted

    def test_unique_job_that_is_skipped_at_another_key_leaves_it(self, store: Store) -> None:
        start(store, "other", "t-other", **WAIT)
        both = (*UNIQUE["claims"], *claim(OnConflict.SKIP)["claims"])
        assert enqueue(store, "a", claims=both).held_back
        assert_free(store, ALIKE)

    def test_same_start_again_is_admitted(self, store: Store) -> None:
        enqueue(store, "a", **UNIQUE)
        assert start(store, "a", "ta", **UNIQUE).admitted
        assert start(store, "a", "ta", **UNIQUE).admitted
        assert standings(store, ALIKE) == {"a": Standing.HOLDING}

    # -- leases -----------------------------------------------------------------------------------

    def test_place_whose_lease_has_run_out_is_free(self, store: Store, clock: Clock) -> None:
        leased = claim(OnConflict.SKIP, lease=60)
        first = start(store, "a", "ta", **leased)
        clock.advance(59)
        assert start(store, "b", "tb", **leased).refusal is Refusal.OVERLAP
        clock.advance(2)
        second = start(store, "c", "tc", **leased)
        assert second.admitted
        assert second.fences[0][1] > first.fences[0][1]
        finish(store, "a", "ta", **leased)
        assert standings(store) == {"c": Standing.HOLDING}

    def test_end_of_a_lease_calls_who_waits(self, store: Store, clock: Clock) -> None:
        leased = claim(lease=60)
        start(store, "a", "ta", **leased)
        enqueue(store, "b", **leased)
        ((key, due_at),) = store.due_keys(store.now().replace(year=store.now().year + 1), 10)
        lock = store.lock(KEY)
        assert lock is not None
        assert (key, due_at) == (KEY, lock.due_at)
        clock.advance(59)
        assert tuple(store.call_due(KEY)) == ()
        clock.advance(2)
        run_next(store, tuple(store.call_due(KEY)), "tb", **leased)
        assert standings(store) == {"b": Standing.HOLDING}

    def test_each_attempt_has_its_own_lease(self, store: Store, clock: Clock) -> None:
        leased = claim(lease=60)
        start(store, "a", "ta", **leased)
        clock.advance(50)
        finish(store, "a", "ta", **leased)
        start(store, "b", "tb", **leased)
        clock.advance(50)
        enqueue(store, "c", **leased)
        assert tuple(store.call_due(KEY)) == ()
