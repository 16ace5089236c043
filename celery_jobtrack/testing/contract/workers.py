"""Workers, their leases, the attempts of those that are gone; and named leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import Worker
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing.steps import OTHER_WORKER, WORKER, finish, retry, settle, start, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class WorkerContract:
    """Workers, their heartbeats, their attempts, ``observe``, and leases."""

    def test_worker_is_alive_while_its_lease_holds(self, store: Store, clock: Clock) -> None:
        before = store.now()
        store.register_worker(WORKER, 45)
        (record,) = store.workers()
        assert (record.id, record.name, record.pid) == (WORKER.id, WORKER.name, WORKER.pid)
        assert before <= record.registered_at <= store.now()
        assert before <= record.heartbeat_at <= store.now()
        assert record.stopped_at is None
        assert record.is_alive(store.now())
        clock.advance(40)
        assert len(store.workers()) == 1
        clock.advance(6)
        assert not store.workers()
        assert [worker.id for worker in store.workers(alive=False)] == [WORKER.id]

    def test_heartbeat_renews_the_lease(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        (first,) = store.workers()
        for _ in range(3):
            clock.advance(40)
            store.heartbeat(WORKER, 45)
        (record,) = store.workers()
        assert record.heartbeat_at > first.heartbeat_at
        assert record.registered_at == first.registered_at

    def test_heartbeat_registers_a_worker_that_was_given_up(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        store.stop_worker(WORKER.id)
        clock.advance(10)
        store.heartbeat(WORKER, 45)
        (record,) = store.workers()
        assert record.stopped_at is None
        store.heartbeat(OTHER_WORKER, 45)
        assert len(store.workers()) == 2

    def test_worker_that_stops_is_gone_at_once(self, store: Store) -> None:
        store.register_worker(WORKER, 45)
        store.stop_worker(WORKER.id)
        store.stop_worker("nobody")
        assert not store.workers()
        (record,) = store.workers(alive=False)
        assert record.stopped_at is not None
        store.stop_worker(WORKER.id)
        assert store.workers(alive=False)[0].stopped_at == record.stopped_at

    def test_workers_are_listed_by_name(self, store: Store) -> None:
        for name in ("c", "a", "b"):
            store.register_worker(Worker(id=f"id-{name}", name=name, pid=1), 45)
        assert [worker.name for worker in store.workers()] == ["a", "b", "c"]

    def test_workers_of_one_name_are_kept_apart(self, store: Store) -> None:
        store.register_worker(Worker(id="old", name="celery@one", pid=1), 45)
        store.register_worker(Worker(id="new", name="celery@one", pid=2), 45)
        store.stop_worker("old")
        assert [worker.id for worker in store.workers()] == ["new"]

    def test_attempt_of_a_living_worker_is_not_lost(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        start(store)
        assert not store.lost_attempts(10)
        clock.advance(40)
        store.heartbeat(WORKER, 45)
        clock.advance(40)
        assert not store.lost_attempts(10)

    def test_attempt_is_lost_with_the_lease(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        store.register_worker(OTHER_WORKER, 450)
        start(store, "a", "ta")
        start(store, "b", "tb", worker=OTHER_WORKER)
        clock.advance(46)
        (lost,) = store.lost_attempts(10)
        assert (lost.job_id, lost.token, lost.worker_id) == ("a", "ta", WORKER.id)
        settle(store, "a", JobState.FAILURE, Reason.WORKER_LOST, guards={"token": "ta"})
        assert not store.lost_attempts(10)

    def test_attempt_is_lost_with_a_goodbye(self, store: Store) -> None:
        store.register_worker(WORKER, 45)
        start(store)
        store.stop_worker(WORKER.id)
        assert [attempt.token for attempt in store.lost_attempts(10)] == ["t1"]

    def test_attempt_of_a_worker_that_never_registered_is_lost(self, store: Store) -> None:
        start(store)
        assert [attempt.token for attempt in store.lost_attempts(10)] == ["t1"]

    def test_attempt_that_was_closed_is_not_lost(self, store: Store) -> None:
        start(store, "a", "ta")
        finish(store, "a", "ta")
        start(store, "b", "tb")
        retry(store, "b", "tb", 1)
        start(store, "c", "tc")
        finish(store, "c", "tc", Outcome.REQUEUED)
        assert not store.lost_attempts(10)
        assert the_job(store, "c").state is JobState.ENQUEUED

    def test_lost_attempts_keep_to_the_limit(self, store: Store) -> None:
        for number in range(5):
            start(store, f"j{number}", f"t{number}")
        assert len(store.lost_attempts(3)) == 3
        assert len(store.lost_attempts(10)) == 5

    def test_open_attempts_are_those_of_one_worker(self, store: Store) -> None:
        start(store, "a", "ta")
        start(store, "b", "tb", worker=OTHER_WORKER)
        start(store, "c", "tc")
        start(store, "d", "td")
        finish(store, "c", "tc")
        assert [attempt.token for attempt in store.open_attempts(WORKER.id, 10)] == ["ta", "td"]
        assert len(store.open_attempts(WORKER.id, 1)) == 1
        assert not store.open_attempts("nobody", 10)

    def test_missing_heartbeats_count_while_somebody_looks(self, store: Store, clock: Clock) -> None:
        for _ in range(5):
            assert store.observe(20, 45)
            clock.advance(15)

    def test_missing_heartbeats_do_not_count_for_a_lease_after_a_silence(
        self, store: Store, clock: Clock
    ) -> None:
        store.register_worker(WORKER, 45)
        assert store.observe(20, 45)
        clock.advance(21)
        assert not store.observe(20, 45)
        clock.advance(15)
        assert not store.observe(20, 45)
        clock.advance(15)
        assert not store.observe(20, 45)
        clock.advance(16)
        assert store.observe(20, 45)

    def test_silence_after_a_goodbye_is_no_outage(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        assert store.observe(20, 45)
        store.stop_worker(WORKER.id)
        clock.advance(3600)
        store.register_worker(OTHER_WORKER, 45)
        assert store.observe(20, 45)
        store.stop_worker(OTHER_WORKER.id)
        clock.advance(25)
        assert store.observe(20, 45)

    def test_silence_is_an_outage_if_one_of_two_said_no_goodbye(self, store: Store, clock: Clock) -> None:
        for worker in (WORKER, OTHER_WORKER):
            store.register_worker(worker, 45)
        store.observe(20, 45)
        store.stop_worker(WORKER.id)
        clock.advance(3600)
        assert not store.observe(20, 45)

    def test_silence_long_after_a_worker_was_lost_is_no_outage(self, store: Store, clock: Clock) -> None:
        store.register_worker(OTHER_WORKER, 45)
        clock.advance(46)
        store.register_worker(WORKER, 45)
        store.observe(20, 45)
        store.stop_worker(WORKER.id)
        clock.advance(60)
        assert store.observe(20, 45)

    def test_pause_that_an_outage_began_goes_on_whoever_leaves(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        store.observe(20, 45)
        clock.advance(30)
        assert not store.observe(20, 45)
        store.stop_worker(WORKER.id)
        clock.advance(25)
        assert not store.observe(20, 45)
        clock.advance(21)
        assert store.observe(20, 45)

    def test_second_silence_begins_the_pause_anew(self, store: Store, clock: Clock) -> None:
        store.register_worker(WORKER, 45)
        store.observe(20, 45)
        clock.advance(30)
        assert not store.observe(20, 45)
        store.heartbeat(WORKER, 45)
        clock.advance(40)
        assert not store.observe(20, 45)
        clock.advance(15)
        assert not store.observe(20, 45)

    def test_lease_has_one_holder(self, store: Store) -> None:
        assert store.acquire_lease("checker", "one", 30)
        assert not store.acquire_lease("checker", "two", 30)
        assert store.acquire_lease("checker", "one", 30)
        assert store.acquire_lease("other", "two", 30)

    def test_lease_runs_out(self, store: Store, clock: Clock) -> None:
        store.acquire_lease("checker", "one", 30)
        clock.advance(20)
        assert not store.acquire_lease("checker", "two", 30)
        clock.advance(11)
        assert store.acquire_lease("checker", "two", 30)
        assert not store.acquire_lease("checker", "one", 30)

    def test_lease_renewed_holds_longer(self, store: Store, clock: Clock) -> None:
        store.acquire_lease("checker", "one", 30)
        clock.advance(20)
        store.acquire_lease("checker", "one", 30)
        clock.advance(20)
        assert not store.acquire_lease("checker", "two", 30)

    def test_lease_is_given_back_by_its_holder_only(self, store: Store) -> None:
        store.acquire_lease("checker", "one", 30)
        store.release_lease("checker", "two")
        assert not store.acquire_lease("checker", "two", 30)
        store.release_lease("checker", "one")
        store.release_lease("nothing", "one")
        assert store.acquire_lease("checker", "two", 30)
