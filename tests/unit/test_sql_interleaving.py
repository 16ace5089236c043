"""Two transactions forced into each other at the row lock, where databases differ."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import EventKind, GroupState, JobState
from celery_jobtrack.strategies.row import Conflict
from celery_jobtrack.strategies.sql import SqlStore, engine
from celery_jobtrack.testing.clock import Clock
from celery_jobtrack.testing.steps import all_events, enqueue, finish, group, start, the_group, the_job
from tests.contract.interleaving import HeldStatements
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_jobtrack.strategies.sql.rows import SqlRows

LOCK_WAITS = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


class PausingStore(SqlStore):
    """Stops before the commit of its next transaction, with its rows locked, until it is let go."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.pausing = False
        self.reached = threading.Event()
        self.released = threading.Event()
        self._autocommit = HeldStatements(self, lambda: self.pausing, self._pause)

    @contextmanager
    def transaction(self) -> Iterator[SqlRows]:
        with super().transaction() as rows:
            yield rows
            if self.pausing:
                rows.finish()  # some statements are left to the end
                self._pause()

    def _pause(self) -> None:
        self.pausing = False
        self.reached.set()
        assert self.released.wait(30)


class Pair:
    """A store that stops before its commit, and another one that runs into it."""

    def __init__(self, url: str, namespace: str) -> None:
        self.clock = Clock()
        options = {"namespace": namespace, "clock_offset": self.clock.offset}
        self.first, self.second = PausingStore(url, **options), SqlStore(url, **options)
        self.first.open()

    def collide(self, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
        """Run ``first`` to its commit, ``second`` into its locks, and then both to their ends."""
        self.first.pausing = True
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(first)
            try:
                assert self.first.reached.wait(10)
                two = pool.submit(second)
                wait_until(self._somebody_waits, message="the second transaction waits for the first")
                assert not two.done()
            finally:
                self.first.released.set()
            return one.result(30), two.result(30)

    def _somebody_waits(self) -> bool:
        with self.second._reader.connect() as connection:
            return bool(connection.scalar(text(LOCK_WAITS[self.second._dialect])))

    def close(self) -> None:
        self.first.close()
        self.second.close()


@pytest.fixture(params=["plain", "general"])
def pair(request: pytest.FixtureRequest, sql_server_url: str, sql_namespace: str) -> Iterator[Pair]:
    """The first goes the way that the parameter says, where there are two; the second as it likes."""
    pair = Pair(sql_server_url, sql_namespace)
    if request.param == "general":
        pair.first._plain = None
    yield pair
    pair.close()


def test_two_last_members_complete_their_group_once(pair: Pair) -> None:
    """At READ COMMITTED each would see the other as running, if the group's row were not locked."""
    group(pair.first)
    for job in ("a", "b"):
        enqueue(pair.first, job, group_id="g")
        start(pair.first, job, f"t-{job}", group_id="g")
    one, two = pair.collide(
        lambda: finish(pair.first, "a", "t-a", group_id="g"),
        lambda: finish(pair.second, "b", "t-b", group_id="g"),
    )
    assert (one.applied, two.applied) == (True, True)
    record = the_group(pair.first)
    assert (record.state, record.totals.succeeded) == (GroupState.COMPLETED, 2)
    kinds = [event.kind for event in all_events(pair.first, pair.clock)]
    assert kinds == [EventKind.STARTED, EventKind.COMPLETED]


def test_two_starts_of_one_job_admit_the_first(pair: Pair) -> None:
    enqueue(pair.first)
    one, two = pair.collide(lambda: start(pair.first, "job", "t1"), lambda: start(pair.second, "job", "t2"))
    assert (one.admitted, two.refusal) == (True, Refusal.OPEN)


def test_two_publishers_of_one_new_id_record_it_once(pair: Pair) -> None:
    """There is no row to lock: the second insert waits for the first, and becomes a conflict."""
    one, two = pair.collide(lambda: enqueue(pair.first), lambda: enqueue(pair.second))
    assert (one.created, two.created) == (True, False)


def test_enqueue_and_start_of_one_new_member_count_it_once(pair: Pair) -> None:
    group(pair.first)
    pair.collide(lambda: enqueue(pair.first, group_id="g"), lambda: start(pair.second, group_id="g"))
    assert the_group(pair.first).totals.total == 1
    assert the_job(pair.first).state is JobState.STARTED


def test_two_creators_of_one_key_make_one_group(pair: Pair) -> None:
    one, two = pair.collide(
        lambda: group(pair.first, "g1", key="key"), lambda: group(pair.second, "g2", key="key")
    )
    assert one.id == two.id == "g1"


@pytest.mark.parametrize("held", [False, True])
def test_a_lease_goes_to_the_first(pair: Pair, held: bool) -> None:
    if held:
        assert pair.first.acquire_lease("checker", "former", 30)
        pair.clock.advance(31)
    one, two = pair.collide(
        lambda: pair.first.acquire_lease("checker", "one", 30),
        lambda: pair.second.acquire_lease("checker", "two", 30),
    )
    assert (one, two) == (True, False)


def test_acknowledgement_meets_a_completion_and_claims_it(pair: Pair) -> None:
    """The event that the finish writes is not there yet when the acknowledgement begins."""
    group(pair.first)
    (started,) = start(pair.first, group_id="g").events
    one, two = pair.collide(
        lambda: finish(pair.first, group_id="g"),
        lambda: pair.second.acknowledge_event(started.id, "courier"),
    )
    claimed = [event.kind for event in (*one.events, *two)]
    assert claimed == [EventKind.COMPLETED]


def test_recompute_meets_an_end_and_finds_no_drift(pair: Pair) -> None:
    group(pair.first)
    for job in ("a", "b"):
        enqueue(pair.first, job, group_id="g")
    _, recomputed = pair.collide(
        lambda: finish(pair.first, "a", "t", group_id="g"), lambda: pair.second.recompute_group("g")
    )
    assert recomputed.repaired is None
    assert recomputed.group.totals.succeeded == 1


def test_one_copy_is_claimed_by_the_first(pair: Pair) -> None:
    enqueue(pair.first)
    seen = the_job(pair.first)
    one, two = pair.collide(lambda: pair.first.claim_copy(seen), lambda: pair.second.claim_copy(seen))
    assert (one, two) == (True, False)


def test_a_deadlock_is_a_conflict_for_one_of_two(pair: Pair) -> None:
    group(pair.first, "a")
    group(pair.first, "b")
    locked = threading.Barrier(2)

    def lock(store: SqlStore, first: str, then: str) -> bool:
        try:
            with store.transaction() as rows:
                rows.group(first, lock=True)
                locked.wait(10)
                rows.group(then, lock=True)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(lock, pair.first, "a", "b"), pool.submit(lock, pair.second, "b", "a")]
        assert sorted(end.result(30) for end in ends) == [False, True]


def test_a_row_that_stays_locked_is_a_conflict(
    sql_server_url: str, sql_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 1)
    store = SqlStore(sql_server_url, namespace=sql_namespace)
    store.open()
    try:
        group(store)
        with store.transaction() as rows:
            rows.group("g", lock=True)
            with pytest.raises(Conflict), store.transaction() as others:
                others.group("g", lock=True)
    finally:
        store.close()
