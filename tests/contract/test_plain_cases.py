"""PostgreSQL's statements for plain cases write what the general algorithm writes, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupCancelled
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.job import Progress
from celery_jobtrack.model.requests import EnqueueRequest, JobQuery, Refusal
from celery_jobtrack.model.state import GroupState, JobState
from celery_jobtrack.strategies.row import Conflict
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.rows import SqlRows
from celery_jobtrack.testing import Clock, steps
from tests.contract.both_ways import BothWays
from tests.contract.interleaving import interleave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.postgresql import PostgreSQL

SEEDS = range(8)
OPERATIONS = 150


@pytest.fixture(scope="session")
def plain_url(postgresql_server: PostgreSQL) -> str:
    return postgresql_server.new_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores(request, plain_url: str, clock: Clock) -> Iterator[tuple[SqlStore, SqlStore]]:
    """One with statements for plain cases, one without; their tables are apart."""
    number = abs(hash(request.node.nodeid)) % 10**9
    made = [SqlStore(plain_url, namespace=f"{name}{number}", clock_offset=clock.offset) for name in "pg"]
    for store in made:
        store.open()
    made[1]._plain = None
    yield made[0], made[1]
    for store in made:
        store.close()


@pytest.fixture
def store(stores: tuple[SqlStore, SqlStore]) -> SqlStore:
    return stores[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_runs_write_the_same_rows_both_ways(stores, clock, seed):
    run = BothWays(*stores, clock, seed)
    run.run(OPERATIONS)
    # Or it would have compared the general algorithm with itself.
    assert run.written > OPERATIONS / 8


def refuse_transactions(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused():
        raise AssertionError("the general algorithm was asked")

    monkeypatch.setattr(store, "transaction", refused)


@pytest.mark.parametrize("group_id", [None, "g"])
def test_life_of_a_plain_job_is_single_statements(store, monkeypatch, group_id):
    steps.group(store)
    steps.start(store, "other", "t0", group_id="g")
    refuse_transactions(store, monkeypatch)
    assert steps.enqueue(store, group_id=group_id, tags=("a",)).created
    assert steps.start(store, group_id=group_id).admitted
    assert store.record_progress("job", "t1", Progress(current=1))
    assert steps.finish(store, group_id=group_id).applied
    assert steps.the_job(store).state is JobState.SUCCESS
    assert store.message("job") is None


def test_statement_whose_guard_fails_writes_nothing(store, monkeypatch):
    """The last member's end is not plain: neither its job nor its group may have been touched."""
    steps.group(store)
    steps.start(store, group_id="g")
    before = steps.the_job(store), steps.the_group(store), store.attempts("job")
    monkeypatch.setattr(store, "transaction", _Refusing())
    with pytest.raises(_Refusing.Asked):
        steps.finish(store, group_id="g")
    assert (steps.the_job(store), steps.the_group(store), store.attempts("job")) == before


class _Refusing:
    class Asked(Exception):
        pass

    def __call__(self):
        raise self.Asked


def test_answer_that_was_lost_is_asked_for_again(store, monkeypatch):
    """The connection breaks after the commit: the general algorithm finds what was written."""
    steps.enqueue(store)
    row = store._autocommit.row

    def lost(text, parameters):
        assert row(text, parameters) is not None
        raise Conflict("the connection broke")

    monkeypatch.setattr(store._autocommit, "row", lost)
    assert steps.start(store).admitted
    assert steps.the_job(store).attempts == 1
    assert not steps.finish(store).applied
    assert steps.the_job(store).state is JobState.SUCCESS


@pytest.mark.parametrize("first_ends", [JobState.SUCCESS, JobState.REVOKED])
def test_last_but_one_end_seen_by_two_is_one(store, first_ends):
    """Both see two outstanding when they begin; the second must see one when it gets the group."""
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")

    def first():
        if first_ends is JobState.SUCCESS:
            return steps.finish(store, "a", "ta", group_id="g")
        return steps.settle(store, "a", first_ends, guards={"token": "ta"})

    one, two = interleave(store, first, lambda: steps.finish(store, "b", "tb", group_id="g"))
    assert (one.applied, two.applied) == (True, True)
    record = steps.the_group(store)
    assert (record.state, record.totals.final, record.is_over) == (GroupState.COMPLETED, 2, True)
    assert store.recompute_group("g").repaired is None


def test_end_of_a_job_whose_row_changes_meanwhile_is_written_once(store):
    """The row's newest version is ended, not the one that the statement found when it began."""
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")
    _, ended = interleave(
        store,
        lambda: store.record_progress("a", "ta", Progress(current=3, text="nearly")),
        lambda: steps.finish(store, "a", "ta", group_id="g"),
    )
    assert ended.applied
    job = steps.the_job(store, "a")
    assert (job.state, job.progress) == (JobState.SUCCESS, Progress(current=3, text="nearly"))
    assert ended.job == job
    assert steps.the_group(store).totals.succeeded == 1


def test_two_ends_of_one_attempt_count_once(store):
    steps.group(store)
    for name in ("a", "b", "c"):
        steps.start(store, name, f"t{name}", group_id="g")
    one, two = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: steps.finish(store, "a", "ta", group_id="g"),
    )
    assert (one.applied, two.applied) == (True, False)
    assert steps.the_group(store).totals.succeeded == 1


def test_cancelling_a_group_while_a_member_ends_counts_it(store):
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")
    interleave(store, lambda: store.cancel_group("g"), lambda: steps.finish(store, "a", "ta", group_id="g"))
    record = steps.the_group(store)
    assert (record.state, record.totals.succeeded, record.is_over) == (GroupState.CANCELLED, 1, False)


def test_member_that_joins_while_its_group_completes_begins_a_generation(store):
    steps.group(store)
    steps.start(store, "a", "ta", group_id="g")
    _, joined = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: steps.enqueue(store, "b", group_id="g", tags=("x",)),
    )
    assert joined.job.generation == steps.the_group(store).generation == 2


def test_start_that_waits_has_the_time_after_waiting(store, clock):
    steps.enqueue(store)
    seen = steps.the_job(store)

    def claim():
        claimed = store.claim_copy(seen)
        clock.advance(100)
        return claimed

    claimed, began = interleave(store, claim, lambda: steps.start(store))
    assert claimed
    assert began.job.started_at >= steps.the_job(store).published_at


def test_two_publishers_of_one_member_count_it_once(store):
    steps.group(store)
    one, two = interleave(
        store, lambda: steps.enqueue(store, group_id="g"), lambda: steps.enqueue(store, group_id="g")
    )
    assert (one.created, two.created) == (True, False)
    assert steps.the_group(store).totals.total == 1


def chunk(*job_ids: str, group_id: str | None = "g", **more: Any) -> list[EnqueueRequest]:
    return [
        EnqueueRequest(origin=steps.origin(job_id, group_id=group_id, **more), message=b"m")
        for job_id in job_ids
    ]


@pytest.mark.parametrize("group_id", [None, "g"])
def test_chunk_of_new_jobs_is_one_statement(store, monkeypatch, group_id):
    steps.group(store)
    monkeypatch.setattr(SqlRows, "jobs_of", None)
    found = store.enqueue_many(chunk("b", "a", group_id=group_id, tags=("x", "y", "x")))
    assert [(result.created, result.job) for result in found] == [
        (True, steps.the_job(store, job_id)) for job_id in "ba"
    ]
    assert [job.id for job in store.jobs(JobQuery(tag="y")).items] == ["a", "b"]
    assert steps.the_group(store).totals.total == (0 if group_id is None else 2)


def test_chunk_with_a_known_job_counts_the_others_once(store):
    steps.group(store)
    steps.enqueue(store, "b", group_id="g")
    found = store.enqueue_many(chunk("a", "b", "c", "c", tags=("x",)))
    assert [result.created for result in found] == [True, False, True, False]
    assert steps.the_group(store).totals.total == 3
    assert [job.id for job in store.members("g", 10).items] == ["b", "a", "c"]
    assert store.recompute_group("g").repaired is None


def test_chunk_for_a_group_that_completes_meanwhile_begins_a_generation(store):
    steps.group(store)
    steps.start(store, "a", "ta", group_id="g")
    _, found = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: store.enqueue_many(chunk("b", "c")),
    )
    assert [result.job.generation for result in found] == [2, 2]
    record = steps.the_group(store)
    assert (record.generation, record.totals.total) == (2, 2)


def test_chunk_for_a_group_that_is_cancelled_meanwhile_is_refused(store):
    steps.group(store)
    steps.start(store, "a", "ta", group_id="g")
    with pytest.raises(GroupCancelled):
        interleave(store, lambda: store.cancel_group("g"), lambda: store.enqueue_many(chunk("b")))
    assert store.job("b") is None
    assert steps.the_group(store).totals.total == 1


def test_two_publishers_of_one_chunk_count_it_once(store):
    steps.group(store)
    one, two = interleave(
        store, lambda: store.enqueue_many(chunk("a", "b")), lambda: store.enqueue_many(chunk("b", "a", "c"))
    )
    assert [result.created for result in one] == [True, True]
    assert [result.created for result in two] == [False, False, True]
    assert steps.the_group(store).totals.total == 3


def test_members_end_while_a_chunk_of_others_is_recorded(store):
    """The group's row is locked when the chunk has been inserted, not before."""
    steps.group(store)
    for name in ("a", "b"):
        steps.start(store, name, f"t{name}", group_id="g")
    _, found = interleave(
        store,
        lambda: steps.finish(store, "a", "ta", group_id="g"),
        lambda: store.enqueue_many(chunk("c", "d")),
    )
    assert all(result.created for result in found)
    assert steps.the_group(store).totals == Totals(total=4, succeeded=1)


def test_member_of_an_earlier_generation_is_not_counted_in_the_next(store):
    """Such a member is left only where counters have drifted; the next generation must not suffer."""
    steps.group(store)
    for name in ("early", "late"):
        steps.start(store, name, f"t-{name}", group_id="g")
    with store.transaction() as rows:
        group = rows.group("g", lock=True)
        rows.update_group(group, group.evolve(totals=Totals(total=1)))
    steps.finish(store, "early", "t-early", group_id="g")
    for name in ("next", "another"):
        steps.enqueue(store, name, group_id="g")
    assert steps.finish(store, "late", "t-late", group_id="g").applied
    record = steps.the_group(store)
    assert (record.generation, record.totals) == (2, Totals(total=2))


def test_start_of_a_retry_that_was_cancelled_is_refused(store):
    steps.start(store)
    store.request_cancel("job")
    steps.retry(store)
    began = steps.start(store, token="t2", retries=1)
    assert (began.refusal, began.job.state) == (Refusal.CANCELLED, JobState.REVOKED)
