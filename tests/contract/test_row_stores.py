"""What a store over rows can be made to do from below: drift, and transactions that fail half-way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from celery_jobtrack.model import moves
from celery_jobtrack.model.event import Cause
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.lock import UNLIMITED, Kind, Place, Standing
from celery_jobtrack.model.state import EventKind, GroupState, JobState
from celery_jobtrack.strategies.row import Conflict
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.threads import Crowd
from tests.contract.backends import ROW_NAMES
from tests.contract.damage import SqlHand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.row import RowStore
    from tests.contract.backends import Backend

rows = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)
sql = pytest.mark.parametrize(
    "backend", [name for name in ROW_NAMES if not name.startswith("memory")], indirect=True
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[RowStore]:
    with backend.fresh(clock) as store:
        yield store


def write_totals(store: RowStore, totals: Totals) -> None:
    with store.transaction() as rows:
        group = rows.group("g", lock=True)
        rows.update_group(group, group.evolve(totals=totals))


@rows
def test_recompute_repairs_drift_and_says_so(store):
    steps.group(store)
    for name in ("a", "b", "c"):
        steps.enqueue(store, name, group_id="g")
    steps.run(store, "a", group_id="g")
    write_totals(store, Totals(total=9, failed=4))
    changed = store.recompute_group("g")
    right = Totals(total=3, succeeded=1)
    assert changed.group.totals == steps.the_group(store).totals == right
    assert repr(right) in changed.repaired
    assert "failed=4" in changed.repaired
    assert store.recompute_group("g").repaired is None


@rows
def test_recompute_completes_a_group_that_drift_kept_open(store, clock):
    steps.group(store)
    steps.enqueue(store, group_id="g")
    write_totals(store, Totals(total=2))
    steps.run(store, "job", group_id="g")
    assert not steps.the_group(store).is_over
    clock.advance(61)
    assert "g" in store.due_groups(10)
    changed = store.recompute_group("g")
    assert changed.repaired
    assert changed.group.is_over
    assert [event.kind for event in steps.all_events(store, clock)] == [
        EventKind.STARTED,
        EventKind.COMPLETED,
    ]


@rows
def test_status_counts_members_that_pause(store):
    steps.group(store)
    for name in "abcd":
        steps.enqueue(store, name, group_id="g")
    for name in "abc":
        steps.start(store, name, f"t{name}", group_id="g")
        steps.retry(store, name, f"t{name}", group_id="g")
    assert numbers(store) == (1, 0, 0, 3)
    steps.start(store, "a", "ta1", group_id="g", retries=1)
    store.request_cancel("b")
    park(store, "c")
    park(store, "d")
    assert numbers(store) == (0, 2, 1, 0)
    store.request_cancel("c")
    assert numbers(store) == (0, 1, 1, 0)
    assert store.recompute_group("g").repaired is None


def numbers(store: RowStore) -> tuple[int, int, int, int]:
    status = store.group_status("g")
    assert status.enqueued + status.waiting + status.started + status.retrying == status.outstanding
    return status.enqueued, status.waiting, status.started, status.retrying


def park(store: RowStore, job_id: str) -> None:
    """As no transition does yet."""
    with store.transaction() as rows:
        job = rows.job(job_id, lock=True)
        rows.update_job(job, job.evolve(state=JobState.WAITING))


THREADS, TURNS = 6, 12


@rows
def test_pauses_are_exact_while_many_retry(store):
    steps.group(store)
    names = [f"{thread}-{number}" for thread in range(THREADS) for number in range(3)]
    steps.enqueue_many(store, names, group_id="g")

    def live(thread: int) -> None:
        if thread == THREADS:
            for _ in range(TURNS):
                assert store.recompute_group("g").repaired is None
                numbers(store)
            return
        for retries in range(4):
            for name in (name for name in names if name.startswith(f"{thread}-")):
                token = f"{name}-{retries}"
                assert steps.start(store, name, token, group_id="g", retries=retries).admitted
                if not (retries == 3 and name.endswith("-0")):
                    assert steps.retry(store, name, token, retries + 1, group_id="g").applied

    with Crowd(THREADS + 1) as crowd:
        crowd.together(live)
    assert numbers(store) == (0, 0, THREADS, 2 * THREADS)
    assert store.recompute_group("g").repaired is None


@sql
def test_recompute_repairs_what_is_kept_of_pauses_and_says_so(store):
    """As it was left by a worker of the version before, which knew nothing of it."""
    steps.group(store)
    for name in "ab":
        steps.start(store, name, f"t{name}", group_id="g")
        steps.retry(store, name, f"t{name}", group_id="g")
    SqlHand(store).do(update(store._schema.pauses).values(retrying=-1))
    assert numbers(store) == (2, 0, 0, 0)
    SqlHand(store).do(update(store._schema.pauses).values(retrying=9))
    assert numbers(store) == (0, 0, 0, 2)
    repaired = store.recompute_group("g").repaired
    assert "retrying=2" in repaired
    assert "retrying=9" in repaired
    assert numbers(store) == (0, 0, 0, 2)
    assert store.recompute_group("g").repaired is None


@sql
def test_next_generation_keeps_nothing_of_earlier_pauses(backend, store):
    steps.group(store)
    for generation in range(3):
        for retries in range(2):
            steps.start(store, f"j{generation}", f"t{generation}{retries}", group_id="g", retries=retries)
            if retries == 0:
                steps.retry(store, f"j{generation}", f"t{generation}0", group_id="g")
        steps.finish(store, f"j{generation}", f"t{generation}1", group_id="g", retries=1)
    assert steps.the_group(store).is_over
    assert backend.remains(store)[store._schema.pauses.name] == 1


@rows
def test_member_that_outlives_its_generation_is_not_counted_in_the_next(store):
    steps.group(store)
    for name in ("early", "late"):
        steps.start(store, name, f"t-{name}", group_id="g")
    write_totals(store, Totals(total=1))
    steps.finish(store, "early", "t-early", group_id="g")
    assert steps.the_group(store).is_over
    steps.enqueue(store, "next", group_id="g")
    assert steps.finish(store, "late", "t-late", group_id="g").events == ()
    record = steps.the_group(store)
    assert (record.generation, record.totals, record.is_over) == (2, Totals(total=1), False)


@rows
def test_transaction_that_fails_leaves_nothing(store):
    steps.group(store)
    steps.enqueue(store, "known", group_id="g", message=b"m")
    before = steps.the_group(store), steps.the_job(store, "known")

    def fail_half_way():
        with store.transaction() as rows:
            now = rows.now()
            group = rows.group("g", lock=True)
            known = rows.job("known", lock=True)
            began = moves.start(known, None, None, steps.start_request("known", "t1"), now)
            rows.update_job(known, began.job)
            rows.insert_attempt(began.attempt)
            rows.set_message("known", b"other")
            rows.insert_job(moves.record(steps.origin("new"), JobState.ENQUEUED, now), b"m")
            rows.update_group(group, group.evolve(state=GroupState.RUNNING, totals=Totals(total=5)))
            rows.insert_group(group.evolve(id="g2", key="k2"))
            rows.hold("g", "f", now)
            rows.add_event(Cause(kind=EventKind.STARTED), group)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert (steps.the_group(store), steps.the_job(store, "known")) == before
    assert store.message("known") == b"m"
    assert not store.attempts("known")
    assert (store.job("new"), store.message("new")) == (None, None)
    assert (store.group("g2"), store.group_by_key("k2")) == (None, None)
    assert not store.has_due_events()
    assert steps.start(store, "known", "t1", group_id="g").admitted


@rows
def test_what_is_written_last_may_conflict(store):
    """A statement may be executed as late as with the commit; what it raises is a conflict all the same."""
    group = steps.group(store)
    steps.enqueue(store)

    def write() -> None:
        with store.transaction() as rows:
            rows.set_message("job", b"another")
            rows.insert_group(group)
            rows.set_result("job", b"result")

    with pytest.raises(Conflict):
        write()
    assert store.message("job") == b"m"
    assert store.results(["job"]) == {}


@rows
def test_transaction_reads_one_time(store, clock):
    with store.transaction() as rows:
        first = rows.now()
        assert rows.now() == first


@rows
def test_keys_and_places_come_back_as_they_were_written(store):
    with store.transaction() as rows:
        before = rows.lock("k")
        moment = rows.now() + timedelta(microseconds=1)
        after = before.evolve(
            kind=Kind.RATE, limit=UNLIMITED, interval=1 / 3, next_at=moment, due_at=moment + timedelta(days=1)
        )
        rows.update_lock(before, after)
        place = Place(
            key="k",
            job_id="a",
            standing=Standing.HOLDING,
            since=moment,
            recorded_at=moment,
            until_start=True,
            until=moment + timedelta(seconds=60),
        )
        rows.put_place(place)
        endless = place.evolve(job_id="b", until_start=False, until=None)
        rows.put_place(place.evolve(job_id="b"))
        rows.put_place(endless)
    assert store.lock("k") == after
    assert list(store.places("k", 10)) == [place, endless]
    assert store.due_keys(after.due_at, 10) == [("k", after.due_at)]
    assert store.due_keys(after.due_at - timedelta(microseconds=1), 10) == []
