"""PostgreSQL's statements for jobs that claim one key: what is not plain there writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.model.halt import HaltKind, gate_of
from celery_jobtrack.model.lock import Claim, Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.row import locking
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.keys import assert_free
from tests.contract.interleaving import interleave
from tests.contract.test_plain_cases import chunk, refuse_transactions, tally_early

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.row import Rows
    from tests.servers.postgresql import PostgreSQL

KEY = "k"
QUEUE = Claim(key="queue", kind=Kind.QUEUE, until_start=True)
CLAIM: dict[str, Any] = {"claims": (Claim(key=KEY),)}


@pytest.fixture(scope="session")
def claims_url(postgresql_server: PostgreSQL) -> str:
    return postgresql_server.new_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(request, claims_url: str, clock: Clock) -> Iterator[SqlStore]:
    number = abs(hash(request.node.nodeid)) % 10**9
    store = SqlStore(claims_url, namespace=f"c{number}", clock_offset=clock.offset)
    store.open()
    yield store
    store.close()


def standings(store: SqlStore) -> dict[str, Standing]:
    return {place.job_id: place.standing for place in store.places(KEY, 100)}


def counts(store: SqlStore) -> tuple[int, int]:
    lock = store.lock(KEY)
    assert lock is not None
    return lock.taken, lock.waiting


def plainly(store: SqlStore, operation: Any) -> bool:
    """Whether an operation is one statement; it is not made otherwise."""

    class Asked(Exception):
        pass

    def asked() -> None:
        raise Asked

    transaction, store.transaction = store.transaction, asked
    try:
        operation()
    except Asked:
        return False
    finally:
        store.transaction = transaction
    return True


def test_start_is_plain_while_there_is_room(store):
    two: dict[str, Any] = {"claims": (Claim(key=KEY, limit=2),)}
    for name in "abc":
        steps.enqueue(store, name, **two)
    results = []
    assert plainly(store, lambda: results.append(steps.start(store, "a", "ta", **two)))
    assert plainly(store, lambda: results.append(steps.start(store, "b", "tb", **two)))
    assert [dict(result.fences)[KEY] for result in results] == [
        place.fence for place in store.places(KEY, 100)
    ]
    assert results[1].fences[0][1] == results[0].fences[0][1] + 1
    before = steps.the_job(store, "c"), store.lock(KEY), store.places(KEY, 100)
    assert not plainly(store, lambda: steps.start(store, "c", "tc", **two))
    assert (steps.the_job(store, "c"), store.lock(KEY), store.places(KEY, 100)) == before


@pytest.mark.parametrize("group_id", [None, "g"])
def test_end_is_not_plain_while_somebody_waits(store, group_id):
    steps.group(store)
    steps.start(store, "other", "t0", group_id="g")
    about = {**CLAIM, "group_id": group_id}
    steps.enqueue(store, "a", **about)
    steps.start(store, "a", "ta", **about)
    assert not plainly(store, lambda: steps.enqueue(store, "b", **about))
    assert steps.enqueue(store, "b", **about).held_back
    before = steps.the_job(store, "a"), steps.the_group(store), store.lock(KEY)
    assert not plainly(store, lambda: steps.finish(store, "a", "ta", **about))
    assert (steps.the_job(store, "a"), steps.the_group(store), store.lock(KEY)) == before
    assert steps.finish(store, "a", "ta", **about).called == ("b",)


def test_end_that_names_no_key_leaves_it_all_the_same(store):
    """Its message may have lost the claims; the record has not."""
    steps.group(store)
    steps.start(store, "other", "t0", group_id="g")
    for name, group_id in (("a", None), ("b", "g")):
        about = {**CLAIM, "group_id": group_id}
        steps.enqueue(store, name, **about)
        steps.start(store, name, f"t{name}", **about)
        assert steps.finish(store, name, f"t{name}", group_id=group_id).applied
        assert (standings(store), counts(store)) == ({}, (0, 0))


def test_end_that_names_another_key_leaves_the_one_that_is_held(store):
    steps.enqueue(store, "a", **CLAIM)
    steps.start(store, "a", "ta", **CLAIM)
    assert steps.finish(store, "a", "ta", claims=(Claim(key="other"),)).applied
    assert (standings(store), counts(store)) == ({}, (0, 0))


def test_last_member_with_a_key_completes_its_group_and_leaves(store):
    steps.group(store)
    steps.enqueue(store, "a", group_id="g", **CLAIM)
    steps.start(store, "a", "ta", group_id="g", **CLAIM)
    assert steps.finish(store, "a", "ta", group_id="g", **CLAIM).applied
    assert steps.the_group(store).is_over
    assert (standings(store), counts(store)) == ({}, (0, 0))


def test_members_with_keys_are_tallied(store, monkeypatch):
    tally_early(store)
    steps.group(store)
    names = "abcdef"
    store.enqueue_many(chunk(*names))
    for name in names:
        claim: dict[str, Any] = {"claims": (Claim(key=f"k{name}"),)}
        steps.start(store, name, f"t{name}", group_id="g")
        steps.enqueue(store, f"keyed-{name}", group_id="g", **claim)
        steps.start(store, f"keyed-{name}", f"tk{name}", group_id="g", **claim)
    assert steps.finish(store, "a", "ta", group_id="g").applied
    refuse_transactions(store, monkeypatch)
    for name in names:
        claim = {"claims": (Claim(key=f"k{name}"),)}
        assert steps.finish(store, f"keyed-{name}", f"tk{name}", group_id="g", **claim).applied
        assert store.places(f"k{name}", 10) == []
    with store._engine.connect() as connection:
        ended = [row.succeeded for row in connection.execute(store._schema.tallies.select())]
    assert sum(ended) > 0


def test_chunk_of_jobs_with_keys_is_one_statement(store):
    requests = [*chunk("a", "b", group_id=None), *chunk("c", group_id=None, **CLAIM)]
    assert (results := store._enqueue_many_plainly(requests))
    assert [result.job.keyed for result in results] == [False, False, True]
    assert [steps.the_job(store, name).keyed for name in "abc"] == [False, False, True]


def test_place_that_was_taken_away_meanwhile_is_not_left_again(store):
    """The end waits for the key; it must not count down a place that is another job's by then."""
    for name in "ab":
        steps.enqueue(store, name, **CLAIM)
    steps.start(store, "a", "ta", **CLAIM)
    other = steps.the_job(store, "b")

    def take_away(rows: Rows) -> None:
        locking.empty(rows, KEY)
        assert locking.take(rows, other, CLAIM["claims"]).blocked is None

    _, ended = interleave(
        store, lambda: store._run(take_away), lambda: steps.finish(store, "a", "ta", **CLAIM)
    )
    assert (ended.applied, ended.called) == (True, ())
    assert (standings(store), counts(store)) == ({"b": Standing.HOLDING}, (1, 0))


def test_end_that_is_being_written_and_another_one_count_both(store):
    about: dict[str, Any] = {"claims": (Claim(key=KEY, limit=2),)}
    for name in "ab":
        steps.enqueue(store, name, **about)
        steps.start(store, name, f"t{name}", **about)
    ends = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", **about),
        lambda: steps.finish(store, "b", "tb", **about),
    )
    assert [end.applied for end in ends] == [True, True]
    assert (standings(store), counts(store)) == ({}, (0, 0))


def test_start_of_a_key_that_is_being_pruned_makes_it_anew(store):
    steps.enqueue(store, "a", **CLAIM)
    steps.start(store, "a", "ta", **CLAIM)
    steps.finish(store, "a", "ta", **CLAIM)
    before = store.lock(KEY)
    steps.enqueue(store, "b", **CLAIM)
    pruned, started = interleave(
        store,
        lambda: store.prune_locks(store.now(), 10),
        lambda: steps.start(store, "b", "tb", **CLAIM),
    )
    assert (pruned, started.admitted, counts(store)) == (1, True, (1, 0))
    assert before is not None
    assert started.fences[0][1] > before.fence


def test_two_starts_of_one_job_take_one_place(store):
    steps.enqueue(store, "a", **CLAIM)
    one, two = interleave(
        store,
        lambda: steps.start(store, "a", "t1", **CLAIM),
        lambda: steps.start(store, "a", "t2", **CLAIM),
    )
    assert (one.admitted, two.refusal) == (True, Refusal.OPEN)
    assert (standings(store), counts(store)) == ({"a": Standing.HOLDING}, (1, 0))
    assert steps.the_job(store, "a").state is JobState.STARTED


def test_end_leaves_keys_that_only_an_earlier_attempt_claimed(store):
    both: dict[str, Any] = {"claims": (*CLAIM["claims"], Claim(key="other"))}
    steps.enqueue(store, "a", **both)
    steps.start(store, "a", "t1", **both)
    steps.retry(store, "a", "t1", **both)
    assert steps.start(store, "a", "t2", retries=1, **CLAIM).admitted
    assert [place.standing for place in store.places("other", 10)] == [Standing.HOLDING]
    assert steps.finish(store, "a", "t2", retries=1, **CLAIM).applied
    assert (standings(store), store.places("other", 10)) == ({}, [])


@pytest.mark.parametrize(
    "claim",
    [
        Claim(key=KEY, lease=60.0),
        Claim(key=KEY, until_start=True),
        Claim(key=KEY, kind=Kind.UNIQUE, on_conflict=OnConflict.SKIP),
        Claim(key=KEY, kind=Kind.RATE, interval=10.0),
        QUEUE,
    ],
)
def test_start_is_not_plain_where_time_decides(store, claim):
    about = {"claims": (claim,)}
    steps.enqueue(store, "a", **about)
    assert not plainly(store, lambda: steps.start(store, "a", "ta", **about))
    assert steps.start(store, "a", "ta", **about).admitted


def test_start_at_a_key_that_was_about_something_else_is_not_plain(store):
    rate: dict[str, Any] = {"claims": (Claim(key=KEY, kind=Kind.RATE, interval=10.0, limit=5),)}
    assert steps.start(store, "other", "t0", **rate).admitted
    steps.enqueue(store, "a", **CLAIM)
    assert not plainly(store, lambda: steps.start(store, "a", "ta", **CLAIM))
    assert steps.start(store, "a", "ta", **CLAIM).admitted
    lock = store.lock(KEY)
    assert lock is not None
    assert (lock.kind, lock.limit, lock.interval) == (Kind.SLOTS, 1, None)


@pytest.mark.parametrize("about", [{}, CLAIM])
def test_start_gives_up_a_place_of_which_its_message_says_nothing(store, about):
    """It may have been written anew since the dispatch."""
    steps.enqueue(store, "a", claims=(*about.get("claims", ()), QUEUE))
    assert not plainly(store, lambda: steps.start(store, "a", "ta", **about))
    assert steps.start(store, "a", "ta", **about).admitted
    assert store.places(QUEUE.key, 10) == []
    queue = store.lock(QUEUE.key)
    assert queue is not None
    assert queue.is_idle


@pytest.mark.parametrize("about", [{}, CLAIM])
def test_start_is_not_plain_while_a_gate_is_closed_and_leaves_nothing_there(store, about):
    steps.enqueue(store, "a", **about)
    store.halt(HaltKind.TASK, "shop.resize")
    assert not plainly(store, lambda: steps.start(store, "a", "t1", **about))
    assert steps.start(store, "a", "t1", **about).refusal is Refusal.PARKED
    assert store.lift(HaltKind.TASK, "shop.resize").called == ("a",)
    assert store.unpark("a").applied
    # What stood at the gate went with that, so the key it claims is the only one.
    assert plainly(store, lambda: steps.start(store, "a", "t2", **about)) is bool(about)
    assert steps.start(store, "a", "t2", **about).admitted
    assert steps.finish(store, "a", "t2", **about).applied
    gate = gate_of(HaltKind.TASK, "shop.resize")
    assert_free(store, gate)
    assert_free(store, KEY)


@pytest.mark.parametrize(
    "claim",
    [
        Claim(key=KEY, lease=60.0),
        Claim(key=KEY, kind=Kind.UNIQUE, on_conflict=OnConflict.SKIP, lease=60.0),
    ],
)
def test_end_of_a_job_with_one_timed_place_is_plain(store, claim):
    about = {"claims": (claim,)}
    steps.enqueue(store, "a", **about)
    assert steps.start(store, "a", "ta", **about).admitted
    results = []
    assert plainly(store, lambda: results.append(steps.finish(store, "a", "ta", **about)))
    assert [result.applied for result in results] == [True]
    assert (standings(store), counts(store)) == ({}, (0, 0))


def test_end_after_the_lease_takes_nothing_from_who_has_the_place_now(store, clock):
    about: dict[str, Any] = {"claims": (Claim(key=KEY, lease=60.0),)}
    for name in "ab":
        assert steps.start(store, name, f"t{name}", **about).admitted
        clock.advance(61)
    assert steps.finish(store, "a", "ta", **about).applied
    assert (standings(store), counts(store)) == ({"b": Standing.HOLDING}, (1, 0))


def test_end_of_a_job_that_kept_no_place_asks_for_none(store, monkeypatch):
    about: dict[str, Any] = {"claims": (Claim(key=KEY, kind=Kind.RATE, interval=10.0, until_start=True),)}
    assert steps.start(store, "a", "ta", **about).admitted

    def asked(*_: Any) -> None:
        raise AssertionError("a statement was tried that can write nothing")

    monkeypatch.setattr(store, "_written", asked)
    assert steps.finish(store, "a", "ta", **about).applied
