"""Lines that time moves: rates, queues by their deadlines, clocks; ``due_keys`` and ``call_due``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.lock import CALL_LASTS, Claim, Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing.keys import WAIT, assert_free, claim, run_next, standings
from celery_jobtrack.testing.steps import batch, enqueue, finish, start, the_job

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

STARTS, DEADLINES, DUE = "starts:report", "deadline:celery", "clock:today"
RATE = claim(key=STARTS, kind=Kind.RATE, interval=10.0)
BURST = claim(key=STARTS, kind=Kind.RATE, interval=10.0, limit=3)
SKIPPED = claim(OnConflict.SKIP, key=STARTS, kind=Kind.RATE, interval=10.0)


def by(store: Store, seconds: float, *, ahead: int = 2) -> dict[str, Any]:
    """The claim of a job with a deadline."""
    at = store.now() + timedelta(seconds=seconds)
    return claim(key=DEADLINES, kind=Kind.QUEUE, limit=ahead, until_start=True, at=at)


def due_at(at: datetime) -> dict[str, Any]:
    """What a job says that is sent when it is due."""
    return {**claim(key=DUE, kind=Kind.CLOCK, until_start=True, at=at), "eta": at}


def is_due(store: Store, key: str) -> bool:
    """Whether somebody in the line of a key may be called now."""
    return key in {name for name, _ in store.due_keys(store.now(), 100)}


def seconds_until_due(store: Store, key: str) -> float:
    """How long until somebody in the line of a key may be called."""
    lock = store.lock(key)
    assert lock is not None
    assert lock.due_at is not None
    return (lock.due_at - store.now()).total_seconds()


class TimedLineContract:
    """``Kind.RATE``, ``Kind.QUEUE``, ``Kind.CLOCK``."""

    # -- rates -----------------------------------------------------------------------------------

    def test_start_that_comes_too_early_is_parked_until_its_time(self, store: Store, clock: Clock) -> None:
        for name in ("a", "b"):
            enqueue(store, name, **RATE)
        assert start(store, "a", "ta", **RATE).admitted
        assert start(store, "b", "tb", **RATE).refusal is Refusal.PARKED
        assert (the_job(store, "b").state, the_job(store, "b").waits_for) == (JobState.WAITING, STARTS)
        assert the_job(store, "b").blocked_by is None
        assert 9 < seconds_until_due(store, STARTS) <= 10
        assert not is_due(store, STARTS)
        assert tuple(store.call_due(STARTS)) == ()
        clock.advance(10)
        assert is_due(store, STARTS)
        run_next(store, tuple(store.call_due(STARTS)), "tb2", **RATE)
        assert not is_due(store, STARTS)
        assert_free(store, STARTS)

    def test_no_more_are_sent_than_may_start(self, store: Store, clock: Clock) -> None:
        held = [enqueue(store, f"j{number}", **BURST).held_back for number in range(5)]
        assert held == [False, False, False, True, True]
        assert [place.standing for place in store.places(STARTS, 10)] == [Standing.HOLDING] * 3 + [
            Standing.WAITING
        ] * 2
        for number in range(3):
            assert start(store, f"j{number}", f"t{number}", **BURST).admitted
        assert standings(store, STARTS) == {"j3": Standing.WAITING, "j4": Standing.WAITING}
        clock.advance(10)
        run_next(store, tuple(store.call_due(STARTS)), "t3", **BURST)

    def test_job_that_is_sent_and_never_starts_keeps_nobody_from_starting(
        self, store: Store, clock: Clock
    ) -> None:
        for name in ("a", "b"):
            enqueue(store, name, **RATE)
        clock.advance(CALL_LASTS + 1)
        run_next(store, tuple(store.call_due(STARTS)), "tb", **RATE)
        clock.advance(10)
        assert start(store, "a", "ta", **RATE).admitted

    def test_job_that_is_cancelled_on_its_way_lets_the_next_one_go(self, store: Store) -> None:
        for name in ("a", "b"):
            enqueue(store, name, **RATE)
        assert tuple(store.request_cancel("a").called) == ("b",)

    def test_dispatch_in_excess_is_parked_at_once(self, store: Store) -> None:
        start(store, "a", "ta", **RATE)
        assert enqueue(store, "b", **RATE).held_back
        assert the_job(store, "b").waits_for == STARTS

    def test_dispatch_that_finds_somebody_due_calls_him(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        clock.advance(11)
        result = enqueue(store, "c", **RATE)
        assert (result.held_back, tuple(result.called)) == (True, ("b",))
        run_next(store, tuple(result.called), "tb", **RATE)

    def test_end_of_a_job_frees_nothing(self, store: Store) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        assert finish(store, "a", "ta", **RATE).called == ()
        assert standings(store, STARTS) == {"b": Standing.WAITING}

    def test_one_is_on_its_way_at_a_time(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        for name in ("b", "c"):
            enqueue(store, name, **RATE)
        clock.advance(25)
        assert tuple(store.call_due(STARTS)) == ("b",)
        assert tuple(store.call_due(STARTS)) == ()
        store.unpark("b")
        start(store, "b", "tb", **RATE)
        # It was late by more than is made good.
        assert 9 < seconds_until_due(store, STARTS) <= 10

    def test_small_delay_of_a_start_is_made_good(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        clock.advance(10.2)
        called = tuple(store.call_due(STARTS))
        enqueue(store, "c", **RATE)
        run_next(store, called, "tb", **RATE)
        assert 9.5 < seconds_until_due(store, STARTS) < 9.9

    def test_burst_goes_at_once_and_is_filled_again_by_time(self, store: Store, clock: Clock) -> None:
        admitted = [start(store, f"j{n}", f"t{n}", **BURST).admitted for n in range(4)]
        assert admitted == [True, True, True, False]
        clock.advance(10)
        run_next(store, tuple(store.call_due(STARTS)), "t3b", **BURST)
        clock.advance(35)
        admitted = [start(store, f"k{n}", f"u{n}", **BURST).admitted for n in range(4)]
        assert admitted == [True, True, True, False]

    def test_line_of_a_rate_goes_by_priority_and_then_by_who_came_first(
        self, store: Store, clock: Clock
    ) -> None:
        start(store, "first", "tf", **RATE)
        for name, priority in (("low", 1), ("b", 5), ("high", 9), ("c", 5)):
            clock.advance(0.1)
            enqueue(store, name, priority=priority, **RATE)
        order: list[str] = []
        for _ in range(4):
            clock.advance(10)
            order.append(run_next(store, tuple(store.call_due(STARTS)), f"t{len(order)}", **RATE))
        assert order == ["high", "b", "c", "low"]

    def test_excess_is_skipped_if_it_shall(self, store: Store) -> None:
        start(store, "a", "ta", **SKIPPED)
        assert enqueue(store, "b", **SKIPPED).held_back
        assert the_job(store, "b").state is JobState.SKIPPED

    def test_excess_is_refused_if_it_shall(self, store: Store) -> None:
        start(store, "a", "ta", **SKIPPED)
        with pytest.raises(Overlapping, match="'starts:report' lets no more start at this time"):
            enqueue(store, "b", **claim(OnConflict.RAISE, key=STARTS, kind=Kind.RATE, interval=10.0))
        assert store.job("b") is None

    def test_nobody_overtakes_who_waits_for_the_rate(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        clock.advance(11)
        assert start(store, "c", "tc", **RATE).refusal is Refusal.PARKED
        assert standings(store, STARTS)["b"] in {Standing.WAITING, Standing.CALLED}
        assert standings(store, STARTS)["c"] is Standing.WAITING

    def test_called_job_that_starts_too_early_goes_back_to_its_line(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        clock.advance(10)
        store.unpark(*store.call_due(STARTS))
        slower = claim(key=STARTS, kind=Kind.RATE, interval=10.0)
        clock.advance(-5)
        assert start(store, "b", "tb", **slower).refusal is Refusal.PARKED
        assert standings(store, STARTS) == {"b": Standing.WAITING}
        clock.advance(5)
        run_next(store, tuple(store.call_due(STARTS)), "tb2", **RATE)

    def test_job_stuck_on_its_way_keeps_nobody_from_starting(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        for name in ("b", "c"):
            enqueue(store, name, **RATE)
        clock.advance(10)
        store.unpark(*store.call_due(STARTS))
        assert 0 < seconds_until_due(store, STARTS) <= CALL_LASTS
        clock.advance(CALL_LASTS + 1)
        assert is_due(store, STARTS)
        run_next(store, tuple(store.call_due(STARTS)), "tc", **RATE)
        clock.advance(10)
        assert start(store, "b", "tb", **RATE).admitted

    def test_caller_that_dies_leaves_who_was_called_to_be_found(self, store: Store, clock: Clock) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        clock.advance(10)
        assert tuple(store.call_due(STARTS)) == ("b",)
        clock.advance(CALL_LASTS + 1)
        store.call_due(STARTS)
        assert store.called_jobs(10) == ["b"]

    def test_parked_job_that_is_cancelled_leaves_the_line_of_a_rate(self, store: Store) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        store.request_cancel("b")
        assert_free(store, STARTS)
        assert store.due_keys(store.now() + timedelta(days=1), 10) == []

    def test_release_forgets_what_a_rate_let_through(self, store: Store) -> None:
        start(store, "a", "ta", **RATE)
        enqueue(store, "b", **RATE)
        run_next(store, tuple(store.release_lock(STARTS)), "tb", **RATE)

    def test_rate_is_taken_when_the_lock_before_it_is(self, store: Store, clock: Clock) -> None:
        both = (*WAIT["claims"], *RATE["claims"])
        start(store, "a", "ta", claims=both)
        enqueue(store, "b", claims=both)
        clock.advance(11)
        run_next(store, tuple(finish(store, "a", "ta", claims=both).called), "tb", claims=both)
        # And the lock is kept while it waits for the rate.
        finish(store, "b", "tb", claims=both)
        assert enqueue(store, "c", claims=both).held_back
        assert standings(store) == {"c": Standing.HOLDING}

    def test_rate_at_rest_is_not_pruned_before_its_time(self, store: Store, clock: Clock) -> None:
        daily = claim(key=STARTS, kind=Kind.RATE, interval=86_400.0)
        start(store, "a", "ta", **daily)
        finish(store, "a", "ta", **daily)
        clock.advance(7200)
        assert store.prune_locks(store.now() - timedelta(hours=1), 10) == 0
        assert start(store, "b", "tb", **daily).refusal is Refusal.PARKED
        store.request_cancel("b")
        clock.advance(2 * 86_400)
        assert store.prune_locks(store.now() - timedelta(hours=1), 10) == 1

    # -- deadlines -------------------------------------------------------------------------------

    def test_few_are_on_their_way_and_the_others_go_by_their_deadlines(self, store: Store) -> None:
        given = {name: by(store, seconds) for name, seconds in (("a", 90), ("b", 80), ("c", 70), ("d", 20))}
        held = {name: enqueue(store, name, **its).held_back for name, its in given.items()}
        assert held == {"a": False, "b": False, "c": True, "d": True}
        called = tuple(start(store, "a", "ta", **given["a"]).called)
        assert run_next(store, called, "td", **given["d"]) == "d"
        assert [place.job_id for place in store.places(DEADLINES, 10)] == ["c", "b"]
        assert store.called_jobs(10) == ["c"]

    def test_priority_does_not_go_before_a_deadline(self, store: Store) -> None:
        late, soon = by(store, 90, ahead=1), by(store, 20, ahead=1)
        enqueue(store, "first", **late)
        enqueue(store, "urgent", priority=9, **late)
        enqueue(store, "soon", priority=0, **soon)
        assert tuple(start(store, "first", "tf", **late).called) == ("soon",)

    def test_job_stuck_on_its_way_does_not_stop_a_queue(self, store: Store, clock: Clock) -> None:
        one = by(store, 500, ahead=1)
        enqueue(store, "stuck", **one)
        enqueue(store, "next", **one)
        assert not is_due(store, DEADLINES)
        clock.advance(CALL_LASTS + 1)
        assert is_due(store, DEADLINES)
        assert tuple(store.call_due(DEADLINES)) == ("next",)
        assert start(store, "stuck", "ts", **one).admitted

    # -- clocks ----------------------------------------------------------------------------------

    def test_job_that_is_due_later_is_parked_until_then(self, store: Store, clock: Clock) -> None:
        now = store.now()
        given = {name: due_at(now + timedelta(seconds=s)) for name, s in (("b", 200), ("a", 100), ("c", 300))}
        for name, its in given.items():
            assert enqueue(store, name, **its).held_back
            assert the_job(store, name).state is JobState.WAITING
        assert 99 < seconds_until_due(store, DUE) <= 100
        clock.advance(201)
        assert tuple(store.call_due(DUE)) == ("a", "b")
        for name in ("a", "b"):
            store.unpark(name)
            assert start(store, name, f"t{name}", **given[name]).admitted
        assert standings(store, DUE) == {"c": Standing.WAITING}

    def test_job_that_is_due_is_not_parked(self, store: Store) -> None:
        assert not enqueue(store, "a", **due_at(store.now() - timedelta(seconds=1))).held_back

    def test_many_are_called_by_chunks_and_the_key_stays_due(self, store: Store, clock: Clock) -> None:
        then = due_at(store.now() + timedelta(seconds=100))
        names = [f"j{number:03}" for number in range(250)]
        for name in names:
            enqueue(store, name, **then)
        clock.advance(101)
        seen: list[str] = []
        while is_due(store, DUE):
            called = tuple(store.call_due(DUE))
            assert 0 < len(called) < 250
            seen += called
        assert seen == names

    def test_lock_of_a_job_that_is_due_later_is_taken_when_it_starts(
        self, store: Store, clock: Clock
    ) -> None:
        then = due_at(store.now() + timedelta(seconds=100))
        both = {"claims": (*then["claims"], Claim(key="overlap:report")), "eta": then["eta"]}
        enqueue(store, "a", **both)
        assert_free(store)
        clock.advance(101)
        run_next(store, tuple(store.call_due(DUE)), "ta", **both)
        assert standings(store) == {"a": Standing.HOLDING}
        assert_free(store, DUE)

    def test_members_that_wait_for_their_time_are_waiting_in_the_status(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g", **due_at(store.now() + timedelta(seconds=100)))
        status = store.group_status("g")
        assert status is not None
        assert (status.waiting, status.outstanding) == (1, 1)

    def test_due_keys_come_by_their_time(self, store: Store) -> None:
        now = store.now()
        for number, seconds in enumerate((300, 100, 200)):
            at = now + timedelta(seconds=seconds)
            its = claim(key=f"clock:{number}", kind=Kind.CLOCK, until_start=True, at=at)
            enqueue(store, f"j{number}", eta=at, **its)
        found = store.due_keys(now + timedelta(seconds=250), 10)
        assert [key for key, _ in found] == ["clock:1", "clock:2"]
        assert store.due_keys(now + timedelta(seconds=250), 1) == found[:1]
