"""PostgreSQL's statements for plain cases write what the general algorithm writes, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupCancelled
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.job import Progress
from celery_jobtrack.model.lock import Claim
from celery_jobtrack.model.requests import EnqueueRequest, GroupQuery, JobQuery, RedriveRequest, Refusal
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome
from celery_jobtrack.strategies.row import Conflict
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.driver import DriverConnection
from celery_jobtrack.strategies.sql.plain_statements import PlainStatements
from celery_jobtrack.strategies.sql.rows import SqlRows
from celery_jobtrack.strategies.sql.tallies import Crowd
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.threads import Crowd as Threads
from tests.contract.both_ways import BothWays
from tests.contract.interleaving import interleave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.model.answers import Settled
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


@pytest.mark.parametrize("seed", SEEDS)
def test_random_runs_with_keys_write_the_same_rows_both_ways(stores, clock, seed):
    run = BothWays(*stores, clock, seed, keyed=0.9)
    run.run(OPERATIONS)
    assert run.written_keyed > OPERATIONS / 20


@pytest.mark.parametrize("seed", SEEDS)
def test_random_runs_with_lines_that_time_moves_write_the_same_rows_both_ways(stores, clock, seed):
    run = BothWays(*stores, clock, seed, keyed=0.9, timed=0.5)
    while run.written_keyed < 3:
        run.run(OPERATIONS)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_runs_with_tallies_write_the_same_rows_both_ways(stores, clock, seed):
    tally_early(stores[0])
    run = BothWays(*stores, clock, seed)
    while not run.tallied:
        run.run(OPERATIONS)


def tally_early(store: SqlStore) -> None:
    """Open tallies for a few members already."""
    _, values = store._plain
    crowd = Crowd(slots=2, size=4, left_over=1)
    store._plain = PlainStatements(store._schema, store._sql.maps, crowd), values


def refuse_transactions(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused():
        raise AssertionError("the general algorithm was asked")

    monkeypatch.setattr(store, "transaction", refused)


@pytest.mark.parametrize("about", [{}, {"claims": (Claim(key="k"),)}, {"claims": (Claim(key="k", limit=2),)}])
@pytest.mark.parametrize("group_id", [None, "g"])
def test_life_of_a_plain_job_is_single_statements(store, monkeypatch, group_id, about):
    steps.group(store)
    steps.start(store, "other", "t0", group_id="g")
    refuse_transactions(store, monkeypatch)
    assert steps.enqueue(store, group_id=group_id, tags=("a",), **about).created
    assert steps.start(store, group_id=group_id, **about).admitted
    assert store.record_progress("job", "t1", Progress(current=1))
    assert steps.finish(store, group_id=group_id, **about).applied
    assert steps.the_job(store).state is JobState.SUCCESS
    assert store.message("job") is None
    assert store.places("k", 10) == []


def test_start_of_a_member_that_was_retried_is_one_statement(store, monkeypatch):
    steps.group(store)
    steps.start(store, group_id="g")
    steps.retry(store, group_id="g")
    refuse_transactions(store, monkeypatch)
    assert steps.start(store, token="t2", group_id="g", retries=1).admitted
    status = store.group_status("g")
    assert (status.started, status.retrying) == (1, 0)


@pytest.mark.parametrize("which", ["plain", "general"])
def test_pauses_do_not_wait_for_the_group(stores, which):
    store = stores[which == "general"]
    steps.group(store)
    steps.start(store, group_id="g")
    with store.transaction() as rows:
        rows.group("g", lock=True)
        assert steps.retry(store, group_id="g").applied
        assert steps.start(store, token="t2", group_id="g", retries=1).admitted


def test_end_of_the_last_member_waits_for_few_answers(store, monkeypatch):
    """Each is a journey to the server and back, between that end and what its listeners hear."""
    steps.group(store)
    steps.start(store, group_id="g")
    journeys = []
    executed = DriverConnection._executed
    monkeypatch.setattr(
        DriverConnection, "_executed", lambda *given: journeys.append(given[2]) or executed(*given)
    )
    assert steps.finish(store, group_id="g").applied
    assert steps.the_group(store).is_over
    assert len(journeys) == 5, journeys


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


@pytest.fixture
def crowd(store: SqlStore) -> SqlStore:
    """A store with a group of six; all have started and one has ended: two tallies have room for two each."""
    tally_early(store)
    steps.group(store)
    for name in "abcdef":
        steps.start(store, name, f"t{name}", group_id="g")
    end(store, "a")
    assert tallies(store) == [(0, 0), (0, 0)]
    return store


def end(store: SqlStore, name: str, outcome: Outcome = Outcome.SUCCESS) -> Settled:
    return steps.finish(store, name, f"t{name}", outcome, group_id="g")


def tallies(store: SqlStore) -> list[tuple[int, int]]:
    """How many ends each tally has, and how many failures."""
    table = store._schema.tallies
    with store._reader.connect() as connection:
        rows = connection.execute(table.select().order_by(table.c.slot)).all()
    return [(row.succeeded, row.failed) for row in rows]


def test_members_of_a_crowd_end_beside_each_other(crowd):
    """The second has committed while the first has not: neither waits, and the group's row is not touched."""
    ended = []

    def second():
        result = end(crowd, "c")
        ended.append(crowd.job("b").state)
        return result

    one, two = interleave(crowd, lambda: end(crowd, "b"), second)
    assert one.applied
    assert two.applied
    assert ended == [JobState.STARTED]
    assert sum(ends for ends, _ in tallies(crowd)) == 2
    assert steps.the_group(crowd).totals == Totals(total=6, succeeded=3)
    assert crowd.group_status("g").succeeded == 3
    assert [group.totals.succeeded for group in crowd.groups(GroupQuery()).items] == [3]


def test_member_without_room_in_a_tally_is_counted_in_the_group(crowd):
    steps.enqueue(crowd, "g", group_id="g")
    for name in "bcdef":
        assert end(crowd, name).applied
    assert tallies(crowd) == [(2, 0), (2, 0)]
    assert steps.the_group(crowd).totals == Totals(total=7, succeeded=6)


def test_last_member_finds_what_is_tallied(crowd):
    events = [event for name in "bcdef" for event in end(crowd, name).events]
    assert [event.kind for event in events] == []  # the start's is still pending, and comes first
    record = steps.the_group(crowd)
    assert (record.state, record.totals) == (GroupState.COMPLETED, Totals(total=6, succeeded=6))
    assert tallies(crowd) == []


def test_last_member_waits_for_one_that_is_being_tallied(crowd):
    """``b`` has written its tally and not committed when all others have ended."""
    for name in "cde":
        assert end(crowd, name).applied
    assert sum(ends for ends, _ in tallies(crowd)) == 3
    interleave(crowd, lambda: end(crowd, "b"), lambda: end(crowd, "f"))
    record = steps.the_group(crowd)
    assert (record.state, record.totals) == (GroupState.COMPLETED, Totals(total=6, succeeded=6))
    assert crowd.recompute_group("g").repaired is None


def test_member_that_ends_while_its_group_is_gathered_waits_and_is_counted_there(crowd):
    """Cancelling has deleted the tallies and not committed."""
    _, ended = interleave(crowd, lambda: crowd.cancel_group("g"), lambda: end(crowd, "b"))
    assert ended.applied
    record = steps.the_group(crowd)
    assert (record.state, record.totals) == (GroupState.CANCELLED, Totals(total=6, succeeded=2))
    assert crowd.recompute_group("g").repaired is None


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.recompute_group("g"),
        lambda store: store.cancel_group("g"),
        lambda store: store.redrive(RedriveRequest(job_id="a", only_from=frozenset({JobState.FAILURE}))),
        lambda store: store.begin_filling("g", "f", 10),
        lambda store: steps.settle(store, "c", guards={"token": "tc"}, group_id="g"),
    ],
)
def test_change_of_a_group_waits_for_one_that_is_being_tallied(crowd, change):
    interleave(crowd, lambda: end(crowd, "b"), lambda: change(crowd))
    changed = crowd.recompute_group("g")
    assert changed.repaired is None
    assert changed.group.totals.succeeded == 2


def test_first_failure_of_a_crowd_is_kept_and_later_ones_are_tallied(crowd):
    end(crowd, "b", Outcome.FAILURE)
    assert tallies(crowd) == []
    assert steps.the_group(crowd).first_failure == "b"
    for name in ("g", "h"):
        steps.enqueue(crowd, name, group_id="g")
    end(crowd, "c")
    assert tallies(crowd) == [(0, 0), (0, 0)]
    end(crowd, "d", Outcome.FAILURE)
    assert sorted(tallies(crowd)) == [(0, 0), (0, 1)]
    assert steps.the_group(crowd).totals == Totals(total=8, succeeded=2, failed=2)


def test_members_of_a_batch_that_run_again_end_plainly(store, monkeypatch):
    """They are of the generation before, and counted in the present one's numbers."""
    tally_early(store)
    steps.group(store, standing=False)
    for name in "abcdef":
        steps.start(store, name, f"t{name}", group_id="g")
    store.seal_group("g")
    for name in "abcdef":
        end(store, name, Outcome.FAILURE)
    for name in "abcdef":
        assert store.redrive(RedriveRequest(job_id=name)).applied
        steps.start(store, name, f"t2{name}", group_id="g", run=2)
    assert steps.the_group(store).generation == 2
    assert steps.the_job(store, "f").generation == 1
    refuse_transactions(store, monkeypatch)
    for name in "bcdef":
        assert steps.finish(store, name, f"t2{name}", group_id="g", run=2).applied
    assert steps.the_group(store).totals == Totals(total=6, succeeded=5)


def test_doctor_counts_what_is_tallied(crowd):
    end(crowd, "b")
    assert sum(ends for ends, _ in tallies(crowd)) == 1
    page = crowd.faults()
    faults = list(page.faults)
    while page.cursor is not None:
        page = crowd.faults(page.cursor)
        faults += page.faults
    assert faults == []


def test_tallies_are_opened_once(store):
    tally_early(store)
    steps.group(store)
    for name in "abcdef":
        steps.start(store, name, f"t{name}", group_id="g")
    statements, values = store._plain
    store._plain = None
    interleave(store, lambda: _open(store, statements, values), lambda: _open(store, statements, values))
    assert tallies(store) == [(0, 0), (0, 0)]


def _open(store: SqlStore, statements: PlainStatements, values: Any) -> object:
    return store._written(statements.open_tallies, values.group("g"))


ENDS = 200
ROUNDS = 10


def test_many_threads_that_end_a_crowd_complete_it_once(store, clock):
    """Failures, recounts, renewed holds and new members come between them, and each gathers the tallies."""
    tally_early(store)
    steps.group(store)
    store.delivers = lambda: False
    announced = 0
    with Threads(20) as threads:
        for generation in range(1, ROUNDS + 1):
            names = [f"{generation}-{number}" for number in range(ENDS)]
            store.begin_filling("g", "f", 3600)
            store.enqueue_many(chunk(*names))

            def live(thread: int, names: list[str] = names) -> bool:
                for number in range(thread, ENDS, 20):
                    steps.start(store, names[number], f"t{names[number]}", group_id="g")
                    failed = number % 19 == 3
                    assert end(store, names[number], Outcome.FAILURE if failed else Outcome.SUCCESS).applied
                    if number % 40 == 7:
                        assert store.recompute_group("g").repaired is None
                    if number % 50 == 9:
                        store.begin_filling("g", "f", 3600)
                return True

            assert all(threads.together(live))
            assert not steps.the_group(store).is_over
            store.end_filling("g", "f")
            record = steps.the_group(store)
            assert (record.generation, record.is_over) == (generation, True)
            assert record.totals == Totals(total=ENDS, succeeded=ENDS - 11, failed=11)
            announced += 1
    kinds = [event.kind for event in steps.all_events(store, clock)]
    assert kinds == [EventKind.STARTED, EventKind.COMPLETED] * announced


def test_last_of_many_threads_completes_a_crowd(store):
    tally_early(store)
    with Threads(20) as threads:
        for number in range(ROUNDS):
            group_id = f"g{number}"
            steps.group(store, group_id)
            names = [f"{number}-{member}" for member in range(ENDS)]
            store.enqueue_many(chunk(*names, group_id=group_id))
            for name in names:
                steps.start(store, name, f"t{name}", group_id=group_id)

            def finish(thread: int, names: list[str] = names, group_id: str = group_id) -> bool:
                return all(
                    steps.finish(store, name, f"t{name}", group_id=group_id).applied
                    for name in names[thread::20]
                )

            assert all(threads.together(finish))
            record = store.group(group_id)
            assert (record.is_over, record.totals) == (True, Totals(total=ENDS, succeeded=ENDS))
            assert tallies(store) == []
