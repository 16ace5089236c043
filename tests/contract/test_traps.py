"""The traps that other systems fell into, each by its name, on every store.

Whether two operations can meet at all depends on the store: over locked rows the second one begins when the
first is about to commit (``meet``); a script in Redis has no inside, so there are the two orders, and both
are tried.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.config import Settings
from celery_jobtrack.errors import GroupCompleted
from celery_jobtrack.model.requests import Refusal, SettleRequest, Worker
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.steps import OTHER_WORKER, WORKER
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.pruner import Pruner
from celery_jobtrack.tracking.reaper import Reaper
from celery_jobtrack.tracking.tracker import Tracker
from tests.contract.backends import ROW_NAMES
from tests.contract.interleaving import interleave
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

LEASE = 45.0
BOTH = [EventKind.STARTED, EventKind.COMPLETED]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[Store]:
    with backend.fresh(clock) as store:
        yield store


@pytest.fixture
def tracker(store: Store) -> Tracker:
    return Tracker(store, RememberingPorts())


@pytest.fixture
def reaper(tracker: Tracker) -> Reaper:
    return Reaper(tracker, Settings(lease=LEASE))


def kinds(events: Sequence[Any]) -> list[EventKind]:
    return [event.kind for event in events]


def orders(
    backend: Backend,
    clock: Clock,
    prepare: Callable[[Store], Any],
    *operations: Callable[[Store], Any],
    meets: Sequence[str] = ROW_NAMES,
) -> Iterator[Store]:
    """The operations in every order, each over a store of its own: held together where that can be done."""
    for ordered in permutations(operations):
        with backend.fresh(clock) as store:
            prepare(store)
            if backend.name in meets:
                first, second = ordered
                interleave(
                    store, lambda store=store, of=first: of(store), lambda store=store, of=second: of(store)
                )
            else:
                for operation in ordered:
                    operation(store)
            yield store


# -- counting --------------------------------------------------------------------------------------------


def test_trap_counter_is_decremented_twice_on_redelivery(backend, clock):
    def two_members(store):
        steps.group(store)
        for name in ("a", "b"):
            steps.enqueue(store, name, group_id="g")
        steps.start(store, "a", "first", group_id="g")

    def end(store):
        steps.finish(store, "a", "first", group_id="g")

    def end_of_the_redelivered_message(store):
        # A worker that could not ask the store ran the message once more.
        steps.finish(store, "a", "second", group_id="g")

    for store in orders(backend, clock, two_members, end, end_of_the_redelivered_message):
        assert steps.start(store, "a", "third", group_id="g").refusal is Refusal.FINAL
        record = steps.the_group(store)
        assert (record.totals.total, record.totals.succeeded, record.outstanding) == (2, 1, 1)
        assert not record.is_over


def test_trap_retry_is_counted_as_failure(store):
    steps.group(store, cancels_on_failure=True)
    steps.start(store, group_id="g")
    steps.retry(store, group_id="g")
    record = steps.the_group(store)
    assert (record.state, record.totals.failed, record.outstanding) == (GroupState.RUNNING, 0, 1)
    steps.start(store, token="t2", retries=1, group_id="g")
    steps.finish(store, token="t2", retries=1, group_id="g")
    assert steps.the_group(store).totals.succeeded == 1


def test_trap_two_last_members_each_miss_the_other(backend, clock):
    def two_running(store):
        steps.batch(store)
        for name in ("a", "b"):
            steps.start(store, name, f"t{name}", group_id="g")
        store.seal_group("g")

    for store in orders(
        backend,
        clock,
        two_running,
        lambda store: steps.finish(store, "a", "ta", group_id="g"),
        lambda store: steps.finish(store, "b", "tb", group_id="g"),
    ):
        assert steps.the_group(store).is_over
        assert kinds(steps.all_events(store, clock)) == BOTH


# -- completing ------------------------------------------------------------------------------------------


def test_trap_callback_is_lost_between_finished_and_enqueue_callback(store, clock):
    steps.batch(store)
    steps.enqueue(store, group_id="g")
    store.seal_group("g")
    steps.start(store, group_id="g")
    # The process that ended the last member has claimed its event, and dies.
    store.claimant = "dead"
    done = steps.finish(store, group_id="g")
    assert done.applied
    assert not store.claim_events("other")
    clock.advance(EVENT_CLAIM + 1)
    assert store.has_due_events()
    assert kinds(steps.all_events(store, clock)) == BOTH
    assert not store.has_due_events()


def test_trap_group_completes_while_it_is_being_filled(backend, clock):
    def one_running(store):
        steps.group(store)
        store.begin_filling("g", "filler", 60)
        steps.start(store, "a", "ta", group_id="g")

    for store in orders(
        backend,
        clock,
        one_running,
        lambda store: steps.finish(store, "a", "ta", group_id="g"),
        lambda store: steps.enqueue(store, "b", group_id="g"),
    ):
        record = steps.the_group(store)
        assert (record.generation, record.outstanding, record.is_over) == (1, 1, False)
        steps.run(store, "b", group_id="g")
        assert not steps.the_group(store).is_over
        assert store.end_filling("g", "filler").group.is_over


def test_trap_filler_crashes(store, clock, tracker):
    steps.group(store)
    store.begin_filling("g", "dead", 30)
    steps.run(store, "a", group_id="g")
    assert not steps.the_group(store).is_over
    clock.advance(31)
    assert list(store.due_groups(10)) == ["g"]
    tracker.change_group(store.recompute_group("g"))
    assert steps.the_group(store).is_over


def test_trap_filler_of_a_batch_crashes_between_counting_and_sending(store, clock):
    # Counted before it is sent: what was not sent is queued in the store, and is published from there.
    steps.batch(store)
    store.begin_filling("g", "dead", 30)
    steps.enqueue(store, "a", group_id="g")
    clock.advance(31)
    assert [job.id for job in store.overdue_jobs("celery", store.now(), 10)] == ["a"]
    store.seal_group("g", incomplete=True)
    steps.run(store, "a", group_id="g")
    record = steps.the_group(store)
    assert (record.is_over, record.incomplete, str(record.outcome)) == (True, True, "FAILED")


def test_trap_empty_group_never_completes(store, clock):
    steps.batch(store)
    assert store.seal_group("g").group.is_over
    assert kinds(steps.all_events(store, clock)) == BOTH


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (JobState.REVOKED, Reason.CANCELLED),
        (JobState.REVOKED, Reason.EXPIRED),
        (JobState.REVOKED, Reason.TERMINATED),
        (JobState.FAILURE, Reason.PUBLISH_FAILED),
        (JobState.FAILURE, Reason.UNKNOWN_TASK),
        (JobState.SKIPPED, Reason.IGNORED),
    ],
)
def test_trap_member_that_never_runs_hangs_the_group(store, state, reason):
    steps.batch(store)
    steps.enqueue(store, "a", group_id="g")
    steps.run(store, "b", group_id="g")
    store.seal_group("g")
    assert not steps.the_group(store).is_over
    steps.settle(store, "a", state, reason)
    assert steps.the_group(store).is_over


def test_trap_member_that_was_deleted_hangs_the_group(store, backend):
    steps.batch(store)
    steps.enqueue(store, "a", group_id="g")
    steps.run(store, "b", group_id="g")
    store.seal_group("g")
    backend.drop_job(store, "a")
    store.recompute_group("g")
    record = steps.the_group(store)
    assert (record.totals.total, record.is_over) == (1, True)


def test_trap_lost_worker_hangs_the_chord(store, clock, tracker, reaper):
    steps.batch(store)
    store.register_worker(OTHER_WORKER, 10_000)
    store.register_worker(WORKER, LEASE)
    steps.start(store, "a", "ta", group_id="g")
    store.seal_group("g")
    reaper.observe()
    clock.advance(LEASE + 1)
    assert reaper.tick() == 1
    assert steps.the_job(store, "a").reason is Reason.WORKER_LOST
    # Celery's chord hears of it too, through its result backend.
    assert tracker.ports.told == [("a", "FAILURE")]
    assert steps.the_group(store).is_over


def test_trap_group_lives_shorter_than_its_members(store, clock, tracker):
    steps.batch(store)
    steps.run(store, "a", group_id="g")
    steps.enqueue(store, "late", group_id="g", eta=store.now() + timedelta(days=400))
    store.seal_group("g")
    clock.advance(timedelta(days=399).total_seconds())
    for _ in Pruner(tracker).prune(older_than=1.0):
        pass
    assert steps.the_group(store).totals.total == 2
    assert store.job("a") is not None
    steps.run(store, "late", group_id="g")
    assert steps.the_group(store).is_over


# -- workers ---------------------------------------------------------------------------------------------


def test_trap_redelivery_arrives_before_the_lease_of_the_dead_worker_ends(store, clock, tracker, reaper):
    store.register_worker(WORKER, LEASE)
    steps.enqueue(store, message=b"kept")
    request = steps.start_request("job", "dead")
    store.start(type(request)(origin=request.origin, token="dead", worker=WORKER, reruns=True))
    # The broker delivers again 0.03 s after the kill, and nobody can know yet that the worker is gone.
    again = steps.start(store, token="again", worker=OTHER_WORKER)
    assert again.refusal is Refusal.OPEN
    assert steps.the_job(store).copy_waiting
    reaper.observe()
    clock.advance(LEASE + 1)
    store.register_worker(OTHER_WORKER, LEASE)
    assert reaper.tick() == 1
    assert tracker.ports.published == ["job"]
    assert steps.start(store, token="third", worker=OTHER_WORKER).admitted


def test_trap_outage_is_mistaken_for_dead_workers(store, clock, reaper):
    store.register_worker(WORKER, LEASE)
    steps.start(store)
    assert reaper.observe()
    clock.advance(10 * LEASE)  # nobody could reach the store
    assert not reaper.observe()
    store.heartbeat(WORKER, LEASE)
    clock.advance(LEASE / 2)
    assert not reaper.observe()
    assert steps.the_job(store).state is JobState.STARTED
    assert not store.lost_attempts(10)
    assert steps.finish(store).applied


def test_trap_lock_leaks_after_a_crash(store, clock):
    assert store.acquire_lease("lock", "dead", 30)
    assert not store.acquire_lease("lock", "other", 30)
    clock.advance(31)
    assert store.acquire_lease("lock", "other", 30)


def test_trap_unlock_deletes_the_lock_of_somebody_else(backend, clock):
    def taken_over(store):
        assert store.acquire_lease("lock", "slow", 30)
        clock.advance(31)

    for store in orders(
        backend,
        clock,
        taken_over,
        lambda store: store.acquire_lease("lock", "other", 30),
        lambda store: store.release_lease("lock", "slow"),
        # In memory a lease is one assignment under a lock.
        meets=[name for name in ROW_NAMES if not name.startswith("memory")],
    ):
        assert store.acquire_lease("lock", "other", 30)
        store.release_lease("lock", "slow")
        assert not store.acquire_lease("lock", "third", 30)


# -- calls, clocks, growth -------------------------------------------------------------------------------


def test_trap_client_library_silently_repeats_a_transition(store, clock):
    steps.batch(store)
    for _ in range(2):
        steps.enqueue(store, "a", group_id="g")
    steps.enqueue(store, "b", group_id="g")
    store.seal_group("g")
    for _ in range(2):
        assert steps.start(store, "a", "ta", group_id="g").admitted
    for _ in range(2):
        steps.retry(store, "a", "ta", group_id="g")
    for _ in range(2):
        steps.start(store, "a", "ta2", retries=1, group_id="g")
    for _ in range(2):
        steps.finish(store, "a", "ta2", Outcome.FAILURE, retries=1, group_id="g")
    request = SettleRequest(
        origin=steps.origin("b"), state=JobState.REVOKED, reason=Reason.CANCELLED, record_unknown=False
    )
    assert [store.settle(request).applied for _ in range(2)] == [True, False]
    record = steps.the_group(store)
    assert (record.totals.total, record.totals.failed, record.totals.revoked) == (2, 1, 1)
    assert len(store.attempts("a")) == 2
    assert kinds(steps.all_events(store, clock)) == BOTH


def test_trap_clocks_differ(store, clock):
    # A worker's own clock is asked for nothing: what it could have stamped is given by the store.
    before = store.now()
    clock.advance(3600)
    steps.enqueue(store, expires_at=before + timedelta(seconds=3700))
    job = steps.start(store).job
    assert job.started_at is not None
    assert abs((job.started_at - before).total_seconds() - 3600) < 60
    store.register_worker(Worker(id="w", name="w", pid=1), LEASE)
    (worker,) = store.workers()
    assert abs((worker.lease_until - before).total_seconds() - 3600 - LEASE) < 60


def test_trap_batch_takes_members_after_its_completion(backend, clock):
    def one_running(store):
        steps.batch(store)
        steps.start(store, "a", "ta", group_id="g")
        store.seal_group("g")

    def add(store):
        try:
            steps.enqueue(store, "b", group_id="g")
        except GroupCompleted:
            assert store.job("b") is None

    for store in orders(
        backend, clock, one_running, lambda store: steps.finish(store, "a", "ta", group_id="g"), add
    ):
        record = steps.the_group(store)
        # Counted and waited for, or refused: never counted in a batch that has told of its completion.
        assert record.is_over is (store.job("b") is None)
        assert record.totals.total == 1 + (store.job("b") is not None)


def test_trap_everything_grows_for_ever(store, backend, clock, tracker):
    store.register_worker(WORKER, LEASE)
    checker = Checker(tracker, Settings(lease=LEASE))
    for number in range(3):
        group_id = f"g{number}"
        steps.batch(store, group_id)
        steps.run(store, f"a{number}", group_id=group_id, tags=("x",))
        steps.run(store, f"b{number}", Outcome.FAILURE, group_id=group_id)
        store.seal_group(group_id)
    steps.all_events(store, clock)
    assert backend.remains(store)
    store.stop_worker(WORKER.id)
    clock.advance(timedelta(days=60).total_seconds())
    for _ in range(20):
        tick = checker.tick()
        assert tick is not None
        assert not tick.failed
        if not tick.pruned:
            break
    assert backend.remains(store) == {}
