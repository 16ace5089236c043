"""The lines of keys: who waits, who is next; keys with more places; looking at keys and taking them away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.lock import Claim, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing.keys import KEY, WAIT, assert_free, claim, run_next, standings
from celery_jobtrack.testing.steps import batch, enqueue, finish, start, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class LineContract:
    """``unpark``, ``called_jobs``, ``locks``, ``places``, ``release_lock``."""

    # -- the line --------------------------------------------------------------------------------

    def test_line_goes_by_priority_and_then_by_who_came_first(self, store: Store, clock: Clock) -> None:
        enqueue(store, "first", **WAIT)
        start(store, "first", "t-first", **WAIT)
        for name, priority in (("low", 0), ("b", 5), ("high", 9), ("c", 5), ("none", None)):
            clock.advance(1)
            enqueue(store, name, priority=priority, **WAIT)
        running, order = "first", []
        while True:
            called = finish(store, running, f"t-{running}", **WAIT).called
            if not called:
                break
            running = run_next(store, called, f"t-{called[0]}", **WAIT)
            order.append(running)
        assert order == ["high", "b", "c", "low", "none"]
        assert_free(store)

    def test_thousand_parked_jobs_are_called_in_their_order(self, store: Store) -> None:
        enqueue(store, "first", **WAIT)
        start(store, "first", "t-first", **WAIT)
        names = [f"parked-{number:04}" for number in range(1000)]
        for name in names:
            enqueue(store, name, **WAIT)
        running, order = "first", []
        while called := tuple(finish(store, running, f"t-{running}", **WAIT).called):
            running = run_next(store, called, f"t-{called[0]}", **WAIT)
            order.append(running)
        assert order == names
        assert_free(store)

    def test_nobody_overtakes_who_was_called(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            enqueue(store, name, **WAIT)
        start(store, "a", "ta", **WAIT)
        start(store, "b", "tb", **WAIT)
        called = finish(store, "a", "ta", **WAIT).called
        assert start(store, "c", "tc", **WAIT).refusal is Refusal.PARKED
        assert enqueue(store, "d", **WAIT).held_back
        assert run_next(store, called, "tb2", **WAIT) == "b"

    def test_called_job_leaves_the_line_once(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        assert not store.unpark("b").applied
        assert store.called_jobs(10) == []
        finish(store, "a", "ta", **WAIT)
        # Whoever called it may have died before it could publish.
        assert store.called_jobs(10) == ["b"]
        result = store.unpark("b")
        assert result.applied
        job = the_job(store, "b")
        assert (job.state, job.waits_for) == (JobState.ENQUEUED, None)
        assert job.published_at is not None
        assert not store.unpark("b").applied
        assert store.called_jobs(10) == []

    def test_unpark_of_an_unknown_job_does_nothing(self, store: Store) -> None:
        assert not store.unpark("nobody").applied

    def test_parked_job_that_is_cancelled_leaves_the_line(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        enqueue(store, "c", **WAIT)
        assert store.request_cancel("b").applied
        assert standings(store) == {"a": Standing.HOLDING, "c": Standing.WAITING}
        assert tuple(finish(store, "a", "ta", **WAIT).called) == ("c",)

    def test_called_job_that_ends_calls_the_next_one(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        enqueue(store, "c", **WAIT)
        finish(store, "a", "ta", **WAIT)
        assert tuple(store.request_cancel("b").called) == ("c",)
        assert standings(store) == {"c": Standing.CALLED}

    def test_refused_start_of_a_called_job_calls_the_next_one(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", expires_at=store.now() + timedelta(seconds=5), **WAIT)
        enqueue(store, "c", **WAIT)
        store.unpark(*finish(store, "a", "ta", **WAIT).called)
        clock.advance(6)
        result = start(store, "b", "tb", **WAIT)
        assert (result.refusal, tuple(result.called)) == (Refusal.EXPIRED, ("c",))

    def test_parked_job_expires(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", expires_at=store.now() + timedelta(seconds=5), **WAIT)
        clock.advance(6)
        assert [job.id for job in store.expired_jobs(10)] == ["b"]

    def test_parked_jobs_are_no_lost_messages(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        clock.advance(3600)
        assert store.overdue_jobs("celery", store.now(), 10) == []

    def test_parked_members_are_waiting_in_the_status(self, store: Store) -> None:
        batch(store)
        enqueue(store, "a", group_id="g", **WAIT)
        start(store, "a", "ta", group_id="g", **WAIT)
        enqueue(store, "b", group_id="g", **WAIT)
        status = store.group_status("g")
        assert status is not None
        assert (status.waiting, status.started, status.outstanding) == (1, 1, 2)
        assert [job.id for job in store.queued_members("g", 10)] == ["b"]

    # -- more places than one, more keys than one ----------------------------------------------------

    def test_limit_is_how_many_hold_at_once(self, store: Store) -> None:
        three = claim(limit=3, across_retries=False)
        for number in range(5):
            enqueue(store, f"j{number}", **three)
        admitted = [start(store, f"j{number}", f"t{number}", **three).admitted for number in range(5)]
        assert admitted == [True, True, True, False, False]
        assert tuple(finish(store, "j1", "t1", **three).called) == ("j3",)
        lock = store.lock(KEY)
        assert lock is not None
        assert (lock.limit, lock.taken, lock.waiting) == (3, 3, 1)

    def test_raised_limit_calls_more_at_once(self, store: Store) -> None:
        for number in range(4):
            enqueue(store, f"j{number}", **WAIT)
        start(store, "j0", "t0", **WAIT)
        for number in (1, 2):
            start(store, f"j{number}", f"t{number}", **WAIT)
        # A new release of the code allows three, and a job of it comes.
        assert tuple(start(store, "j3", "t3", **claim(limit=3)).called) == ("j1", "j2")
        assert tuple(finish(store, "j0", "t0", **WAIT).called) == ("j3",)

    def test_job_with_two_keys_holds_the_first_while_it_waits_for_the_second(self, store: Store) -> None:
        first, second = Claim(key="a-key"), Claim(key="b-key")
        both: dict[str, Any] = {"claims": (first, second)}
        enqueue(store, "has-second", claims=(second,))
        start(store, "has-second", "t2", claims=(second,))
        enqueue(store, "wants-both", **both)
        assert the_job(store, "wants-both").waits_for == "b-key"
        assert standings(store, "a-key") == {"wants-both": Standing.HOLDING}
        assert store.called_jobs(10) == []
        called = finish(store, "has-second", "t2", claims=(second,)).called
        run_next(store, called, "tb", **both)
        finish(store, "wants-both", "tb", **both)
        assert_free(store, "a-key")
        assert_free(store, "b-key")

    def test_skip_at_the_second_key_gives_the_first_one_back(self, store: Store) -> None:
        wait, skip = Claim(key="a-key"), Claim(key="b-key", on_conflict=OnConflict.SKIP)
        enqueue(store, "has-second", claims=(skip,))
        start(store, "has-second", "t2", claims=(skip,))
        assert enqueue(store, "wants-both", claims=(wait, skip)).held_back
        assert the_job(store, "wants-both").state is JobState.SKIPPED
        assert_free(store, "a-key")

    # -- looking and steering ------------------------------------------------------------------------

    def test_release_takes_the_key_from_who_has_it(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        called = tuple(store.release_lock(KEY))
        run_next(store, called, "tb", **WAIT)
        assert finish(store, "a", "ta", **WAIT).called == ()
        assert standings(store) == {"b": Standing.HOLDING}

    def test_release_leaves_who_was_called_its_turn(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        called = finish(store, "a", "ta", **WAIT).called
        assert tuple(store.release_lock(KEY)) == ()
        assert run_next(store, tuple(called), "tb", **WAIT) == "b"

    def test_release_of_a_key_that_nobody_has_does_nothing(self, store: Store) -> None:
        assert tuple(store.release_lock("nobody")) == ()

    def test_locks_are_listed_by_name(self, store: Store) -> None:
        for name in ("c", "a", "b"):
            start(store, name, f"t{name}", **claim(key=name))
        page = store.locks(2)
        assert [lock.key for lock in page.items] == ["a", "b"]
        rest = store.locks(2, page.cursor)
        assert ([lock.key for lock in rest.items], rest.cursor) == (["c"], None)

    def test_places_show_who_has_it_and_then_the_line(self, store: Store, clock: Clock) -> None:
        for name in ("a", "b", "c"):
            enqueue(store, name, **WAIT)
            start(store, name, f"t{name}", **WAIT)
            clock.advance(1)
        places = store.places(KEY, 2)
        assert [(place.job_id, place.standing) for place in places] == [
            ("a", Standing.HOLDING),
            ("b", Standing.WAITING),
        ]
        assert places[0].fence is not None
