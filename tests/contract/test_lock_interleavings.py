"""Races at a key: the second operation begins before the first commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.lock import Claim, Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.testing import Clock, steps
from tests.contract.backends import ROW_NAMES
from tests.contract.interleaving import interleave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_jobtrack.strategies.row import RowStore
    from tests.contract.backends import Backend

KEY = "k"
WAIT: dict[str, Any] = {"claims": (Claim(key=KEY),)}
LATEST: dict[str, Any] = {"claims": (Claim(key=KEY, on_conflict=OnConflict.LATEST),)}
RATE: dict[str, Any] = {"claims": (Claim(key=KEY, kind=Kind.RATE, interval=10.0),)}
UNIQUE: dict[str, Any] = {"claims": (Claim(key=KEY, kind=Kind.UNIQUE, on_conflict=OnConflict.SKIP),)}

pytestmark = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[RowStore]:
    with backend.fresh(clock) as store:
        yield store


@pytest.fixture(params=["one first", "other first"])
def beside(request: pytest.FixtureRequest, store: RowStore) -> Callable[..., tuple[Any, Any]]:
    """Runs two operations beside each other, in either order; gives their answers in the order given."""

    def run(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
        if request.param == "one first":
            return interleave(store, one, other)
        found = interleave(store, other, one)
        return found[1], found[0]

    return run


def standings(store: RowStore) -> dict[str, Standing]:
    """Who stands at the key; the key's own numbers must say the same."""
    found = {place.job_id: place.standing for place in store.places(KEY, 100)}
    lock = store.lock(KEY)
    assert lock is not None
    takes = [standing in {Standing.CALLED, Standing.HOLDING} for standing in found.values()]
    waiting = [standing is Standing.WAITING for standing in found.values()]
    assert (lock.taken, lock.waiting) == (sum(takes), sum(waiting))
    assert lock.taken or not lock.waiting, "somebody waits at a free key"
    return found


def hold(store: RowStore, name: str = "a", about: dict[str, Any] = WAIT) -> None:
    steps.enqueue(store, name, **about)
    assert steps.start(store, name, f"t{name}", **about).admitted


@pytest.mark.parametrize("known", [False, True])
def test_two_starts_at_a_free_key_admit_one(store, known):
    if known:
        hold(store)
        steps.finish(store, "a", "ta", **WAIT)
    one, two = interleave(
        store, lambda: steps.start(store, "b", "tb", **WAIT), lambda: steps.start(store, "c", "tc", **WAIT)
    )
    assert (one.refusal, two.refusal) == (None, Refusal.PARKED)
    assert standings(store) == {"b": Standing.HOLDING, "c": Standing.WAITING}


def test_two_plain_starts_at_a_free_key_admit_one(store):
    for name in "ab":
        steps.enqueue(store, name, **WAIT)
    one, two = interleave(
        store, lambda: steps.start(store, "a", "ta", **WAIT), lambda: steps.start(store, "b", "tb", **WAIT)
    )
    assert (one.refusal, two.refusal) == (None, Refusal.PARKED)
    assert standings(store) == {"a": Standing.HOLDING, "b": Standing.WAITING}


def test_start_that_parks_while_the_key_is_left_is_called_or_admitted(store, beside):
    # Dispatched while the key was free.
    steps.enqueue(store, "b", **WAIT)
    hold(store)
    ended, started = beside(
        lambda: steps.finish(store, "a", "ta", **WAIT), lambda: steps.start(store, "b", "tb", **WAIT)
    )
    assert ended.applied
    if started.admitted:
        assert (ended.called, standings(store)) == ((), {"b": Standing.HOLDING})
    else:
        assert (ended.called, standings(store)) == (("b",), {"b": Standing.CALLED})


def test_dispatch_while_the_key_is_left_is_called_or_sent(store, beside):
    hold(store)
    ended, sent = beside(
        lambda: steps.finish(store, "a", "ta", **WAIT), lambda: steps.enqueue(store, "b", **WAIT)
    )
    assert ended.applied
    assert ended.called == (("b",) if sent.held_back else ())
    assert standings(store) == ({"b": Standing.CALLED} if sent.held_back else {})


def test_called_job_that_is_cancelled_while_it_is_unparked_calls_the_next_one(store, beside):
    hold(store)
    for name in "bc":
        steps.enqueue(store, name, **WAIT)
    assert steps.finish(store, "a", "ta", **WAIT).called == ("b",)
    _, cancelled = beside(lambda: store.unpark("b"), lambda: store.request_cancel("b"))
    assert (cancelled.applied, cancelled.called) == (True, ("c",))
    assert steps.the_job(store, "b").state is JobState.REVOKED
    assert not store.unpark("b").applied
    assert standings(store) == {"c": Standing.CALLED}


def test_two_who_unpark_a_job_publish_it_once(store):
    hold(store)
    steps.enqueue(store, "b", **WAIT)
    steps.finish(store, "a", "ta", **WAIT)
    results = interleave(store, lambda: store.unpark("b"), lambda: store.unpark("b"))
    assert [result.applied for result in results] == [True, False]


def test_release_beside_the_end_calls_once(store, beside):
    hold(store)
    for name in "bc":
        steps.enqueue(store, name, **WAIT)
    ended, released = beside(lambda: steps.finish(store, "a", "ta", **WAIT), lambda: store.release_lock(KEY))
    assert ended.applied
    called = [*ended.called, *released]
    # Whoever comes second may find that the next one has the key, and take it from that one too.
    assert called in (["b"], ["b", "c"])
    expected = {"b": Standing.CALLED, "c": Standing.WAITING} if called == ["b"] else {"c": Standing.CALLED}
    assert standings(store) == expected


def test_parked_job_that_is_cancelled_while_the_key_is_left_is_not_left_behind(store, beside):
    hold(store)
    for name in "bc":
        steps.enqueue(store, name, **WAIT)
    ended, cancelled = beside(
        lambda: steps.finish(store, "a", "ta", **WAIT), lambda: store.request_cancel("b")
    )
    assert (ended.applied, cancelled.applied) == (True, True)
    assert [*ended.called, *cancelled.called] in (["b", "c"], ["c"])
    assert standings(store) == {"c": Standing.CALLED}


def test_newer_job_that_comes_while_the_key_is_left_takes_one_place(store, beside):
    hold(store, about=LATEST)
    steps.enqueue(store, "b", **LATEST)
    ended, sent = beside(
        lambda: steps.finish(store, "a", "ta", **LATEST), lambda: steps.enqueue(store, "c", **LATEST)
    )
    assert sent.held_back
    if ended.called == ("c",):
        assert (sent.superseded, standings(store)["b"]) == (("b",), Standing.SUPERSEDED)
    else:
        assert (sent.superseded, ended.called) == ((), ("b",))
        assert standings(store) == {"b": Standing.CALLED, "c": Standing.WAITING}


def test_key_that_is_pruned_while_somebody_takes_it_is_there(store):
    hold(store)
    steps.finish(store, "a", "ta", **WAIT)
    steps.enqueue(store, "b", **WAIT)
    started, pruned = interleave(
        store,
        lambda: steps.start(store, "b", "tb", **WAIT),
        lambda: store.prune_locks(store.now(), 10),
    )
    assert (started.admitted, pruned) == (True, 0)
    assert standings(store) == {"b": Standing.HOLDING}


def test_two_who_call_a_due_key_call_once(store, clock):
    hold(store, about=RATE)
    steps.enqueue(store, "b", **RATE)
    steps.enqueue(store, "c", **RATE)
    clock.advance(10)
    one, other = interleave(store, lambda: store.call_due(KEY), lambda: store.call_due(KEY))
    assert (tuple(one), tuple(other)) == (("b",), ())
    found = {place.job_id: place.standing for place in store.places(KEY, 100)}
    assert found == {"b": Standing.CALLED, "c": Standing.WAITING}
    lock = store.lock(KEY)
    assert lock is not None
    assert (lock.taken, lock.waiting) == (1, 1)


def test_start_that_comes_while_a_rate_is_called_stands_in_line_and_one_is_called(store, clock, beside):
    # Nobody looked when it was dispatched.
    steps.enqueue_many(store, ["b"], **RATE)
    hold(store, about=RATE)
    steps.enqueue(store, "c", **RATE)
    clock.advance(10)
    called, started = beside(
        lambda: tuple(store.call_due(KEY)), lambda: steps.start(store, "b", "tb", **RATE)
    )
    # Nobody overtakes who waits; but in line it stands before the other, who was dispatched later.
    assert started.refusal is Refusal.PARKED
    (first,) = (*called, *started.called)
    assert first == ("c" if called else "b")
    (waits,) = {"b", "c"} - {first}
    assert standings(store) == {first: Standing.CALLED, waits: Standing.WAITING}


def test_start_by_a_rate_beside_another_passes_one(store, clock):
    steps.enqueue_many(store, "bc", **RATE)
    hold(store, about=RATE)
    clock.advance(10)
    one, other = interleave(
        store, lambda: steps.start(store, "b", "tb", **RATE), lambda: steps.start(store, "c", "tc", **RATE)
    )
    assert (one.refusal, other.refusal) == (None, Refusal.PARKED)
    found = {place.job_id: place.standing for place in store.places(KEY, 100)}
    assert found == {"c": Standing.WAITING}
    lock = store.lock(KEY)
    assert lock is not None
    assert lock.due_at is not None


def test_called_job_starts_while_the_key_is_called_again(store, clock, beside):
    hold(store, about=RATE)
    for name in "bc":
        steps.enqueue(store, name, **RATE)
    clock.advance(10)
    assert tuple(store.call_due(KEY)) == ("b",)
    store.unpark("b")
    called, started = beside(
        lambda: tuple(store.call_due(KEY)), lambda: steps.start(store, "b", "tb", **RATE)
    )
    # The rate that b passes is not there for c as well.
    assert (called, started.admitted, started.called) == ((), True, ())
    found = {place.job_id: place.standing for place in store.places(KEY, 100)}
    assert found == {"c": Standing.WAITING}


@pytest.mark.parametrize("known", [False, True])
def test_two_dispatches_with_one_unique_key_queue_one(store, known):
    if known:
        hold(store, about=UNIQUE)
        steps.finish(store, "a", "ta", **UNIQUE)
    one, other = interleave(
        store, lambda: steps.enqueue(store, "b", **UNIQUE), lambda: steps.enqueue(store, "c", **UNIQUE)
    )
    assert (one.held_back, other.held_back) == (False, True)
    jobs = [steps.the_job(store, name) for name in "bc"]
    assert [(job.state, job.reason) for job in jobs] == [
        (JobState.ENQUEUED, None),
        (JobState.SKIPPED, Reason.DUPLICATE),
    ]
    assert jobs[1].blocked_by == "b"
    assert standings(store) == {"b": Standing.HOLDING}


def test_place_that_runs_out_while_its_job_ends_is_given_once(store, clock, beside):
    leased: dict[str, Any] = {"claims": (Claim(key=KEY, lease=60.0),)}
    hold(store, about=leased)
    for name in "bc":
        steps.enqueue(store, name, **leased)
    clock.advance(61)
    called, ended = beside(
        lambda: tuple(store.call_due(KEY)), lambda: steps.finish(store, "a", "ta", **leased)
    )
    assert ended.applied
    assert [*called, *ended.called] == ["b"]
    assert standings(store) == {"b": Standing.CALLED, "c": Standing.WAITING}
