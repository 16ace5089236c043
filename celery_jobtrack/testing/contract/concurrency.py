"""Threads that want the same thing at the same moment."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import EventKind, JobState, Reason
from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing.steps import (
    all_events,
    enqueue,
    finish,
    group,
    retry,
    settle,
    start,
    the_group,
    the_job,
)
from celery_jobtrack.testing.threads import Crowd

if TYPE_CHECKING:
    import pytest

    from celery_jobtrack.model.answers import StartResult
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

THREADS = 20
ROUNDS = 200
"""How often twenty members of a group end at the same moment."""
FEWER_ROUNDS = 20


class ConcurrencyContract:
    """What happens once, happens once, whoever comes at the same time."""

    def test_twenty_members_ending_together_complete_their_group_once(
        self, store: Store, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        group(store)
        began = time.perf_counter()
        announced = 0
        with Crowd(THREADS) as crowd:
            for number in range(1, ROUNDS + 1):
                store.begin_filling("g", "f", 3600)
                for member in range(THREADS):
                    enqueue(store, f"j{number}-{member}", group_id="g", message=None)
                    if number % 4 == 0:  # in the other rounds the starts never arrive
                        start(store, f"j{number}-{member}", f"t{number}-{member}", group_id="g")
                store.end_filling("g", "f")

                def end(member: int, generation: int = number) -> bool:
                    job_id, token = f"j{generation}-{member}", f"t{generation}-{member}"
                    return finish(store, job_id, token, group_id="g").applied

                assert all(crowd.together(end))
                record = the_group(store)
                assert (record.generation, record.is_over) == (number, True)
                assert (record.totals.total, record.totals.succeeded) == (THREADS, THREADS)
                kinds = [(event.generation, event.kind) for event in all_events(store, clock, "g")]
                assert kinds == [(number, EventKind.STARTED), (number, EventKind.COMPLETED)]
                announced += kinds.count((number, EventKind.COMPLETED))
        assert announced == ROUNDS
        assert the_group(store).lifetime.succeeded == ROUNDS * THREADS
        with capsys.disabled():
            seconds = time.perf_counter() - began
            scheme = store.url.split(":", 1)[0]
            print(f"\n{scheme}: {announced} groups of {THREADS}, {announced} completions, {seconds:.1f} s")  # noqa: T201

    def test_twenty_starts_of_one_job_admit_one(self, store: Store) -> None:
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS):
                job_id = f"job-{number}"
                if number % 2:
                    enqueue(store, job_id)

                def begin(thread: int, job_id: str = job_id) -> StartResult:
                    return start(store, job_id, f"{job_id}-{thread}")

                results = crowd.together(begin)
                admitted = [result.attempt for result in results if result.admitted]
                assert len(admitted) == 1
                assert {result.refusal for result in results if not result.admitted} == {Refusal.OPEN}
                job = the_job(store, job_id)
                assert job.attempts == 1
                assert list(store.attempts(job_id)) == admitted
                assert job.token == store.attempts(job_id)[0].token
                assert job.copy_waiting

    def test_twenty_repetitions_of_one_start_are_one_start(self, store: Store) -> None:
        group(store)
        with Crowd(THREADS) as crowd:
            results = crowd.together(lambda _: start(store, "job", "t1", group_id="g"))
        assert all(result.admitted for result in results)
        assert sum(len(result.events) for result in results) == 1
        assert the_job(store).attempts == 1
        assert the_group(store).totals.total == 1

    def test_twenty_repetitions_of_one_finish_are_one_end(self, store: Store) -> None:
        group(store)
        for name in ("job", "other"):
            enqueue(store, name, group_id="g")
        with Crowd(THREADS) as crowd:
            results = crowd.together(lambda _: finish(store, "job", "t1", group_id="g"))
        assert [result.applied for result in results].count(True) == 1
        assert (the_group(store).totals.total, the_group(store).totals.succeeded) == (2, 1)

    def test_twenty_ways_to_end_a_job_are_one_end(self, store: Store) -> None:
        group(store)
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS):
                job_id = f"job-{number}"
                enqueue(store, job_id, group_id="g")

                def end(thread: int, job_id: str = job_id) -> bool:
                    if thread % 4 == 0:
                        return store.request_cancel(job_id).applied
                    if thread % 4 == 1:
                        return settle(store, job_id, JobState.FAILURE, Reason.WORKER_LOST).applied
                    if thread % 4 == 2:
                        return finish(store, job_id, f"{job_id}-{thread}", group_id="g").applied
                    return settle(store, job_id, JobState.REVOKED, Reason.EXPIRED).applied

                assert crowd.together(end).count(True) == 1
                assert the_job(store, job_id).is_final
                assert the_group(store).outstanding == 0
        assert the_group(store).lifetime.final == FEWER_ROUNDS
        assert the_group(store).lifetime.total == FEWER_ROUNDS

    def test_enqueue_racing_with_start_records_one_job(self, store: Store) -> None:
        group(store)
        with Crowd(2) as crowd:
            for number in range(4 * FEWER_ROUNDS):
                job_id = f"job-{number}"

                def race(thread: int, job_id: str = job_id) -> bool:
                    if thread == 0:
                        enqueue(store, job_id, group_id="g", args="(1,)", message=b"m")
                        return True
                    return start(store, job_id, f"t-{job_id}", group_id="g").admitted

                assert all(crowd.together(race))
                job = the_job(store, job_id)
                assert (job.state, job.attempts, job.args) == (JobState.STARTED, 1, "(1,)")
                assert job.enqueued_at is not None
                assert store.message(job_id) == b"m"
        assert the_group(store).totals.total == 4 * FEWER_ROUNDS

    def test_twenty_publishers_of_one_id_record_one_job(self, store: Store) -> None:
        group(store)
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS):
                job_id = f"job-{number}"

                def publish(_: int, job_id: str = job_id) -> bool:
                    return enqueue(store, job_id, group_id="g").created

                assert crowd.together(publish).count(True) == 1
        assert the_group(store).totals.total == FEWER_ROUNDS

    def test_twenty_retries_of_one_attempt_are_one_retry(self, store: Store) -> None:
        start(store)
        with Crowd(THREADS) as crowd:
            results = crowd.together(lambda _: retry(store))
        assert [result.applied for result in results].count(True) == 1
        assert the_job(store).state is JobState.RETRY

    def test_two_fillers_at_once_lose_nothing(self, store: Store, clock: Clock) -> None:
        group(store)
        with Crowd(2) as crowd:
            for number in range(FEWER_ROUNDS):

                def fill(thread: int, generation: int = number) -> None:
                    store.begin_filling("g", f"f{thread}", 60)
                    for member in range(3):
                        job_id = f"j{generation}-{thread}-{member}"
                        enqueue(store, job_id, group_id="g")
                        finish(store, job_id, f"t-{job_id}", group_id="g")
                    store.end_filling("g", f"f{thread}")

                crowd.together(fill)
                assert the_group(store).is_over
        record = the_group(store)
        assert record.lifetime.total == record.lifetime.succeeded == FEWER_ROUNDS * 6
        # Two fillers make one generation, or two if one had ended before the other began.
        assert FEWER_ROUNDS <= record.generation <= 2 * FEWER_ROUNDS
        events = all_events(store, clock)
        assert len(events) == 2 * record.generation

    def test_twenty_creators_of_one_key_get_one_group(self, store: Store) -> None:
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS):

                def create(thread: int, number: int = number) -> str:
                    return group(store, f"g{number}-{thread}", key=f"key-{number}").id

                (one,) = set(crowd.together(create))
                found = store.group_by_key(f"key-{number}")
                assert found is not None
                assert found.id == one
                recorded = [store.group(f"g{number}-{n}") for n in range(THREADS)]
                assert sum(record is not None for record in recorded) == 1

    def test_twenty_creators_of_one_group_get_one_group(self, store: Store) -> None:
        with Crowd(THREADS) as crowd:
            titles = {
                found.title for found in crowd.together(lambda n: group(store, "g", title=f"title {n}"))
            }
        assert titles == {the_group(store).title}

    def test_acknowledgement_racing_with_completion_leaves_no_event_behind(self, store: Store) -> None:
        with Crowd(2) as crowd:
            for number in range(4 * FEWER_ROUNDS):
                group_id = f"g{number}"
                group(store, group_id)
                (started,) = start(store, f"j{number}", f"t{number}", group_id=group_id).events

                def race(
                    thread: int, number: int = number, group_id: str = group_id, event_id: str = started.id
                ) -> list[EventKind]:
                    if thread == 0:
                        events = store.acknowledge_event(event_id, store.claimant)
                    else:
                        events = finish(store, f"j{number}", f"t{number}", group_id=group_id).events
                    return [event.kind for event in events]

                assert list(chain(*crowd.together(race))) == [EventKind.COMPLETED]
                assert not store.has_due_events()

    def test_twenty_claims_give_each_event_once(self, store: Store, clock: Clock) -> None:
        for number in range(10):
            group(store, f"g{number}")
            store.mark_running(f"g{number}")
        clock.advance(EVENT_CLAIM + 1)
        with Crowd(THREADS) as crowd:
            claimed = crowd.together(lambda n: list(store.claim_events(f"courier-{n}")))
        ids = [event.id for events in claimed for event in events]
        assert len(ids) == len(set(ids)) == 10

    def test_twenty_claims_of_one_copy_give_it_once(self, store: Store, clock: Clock) -> None:
        enqueue(store)
        seen = the_job(store)
        clock.advance(1)
        with Crowd(THREADS) as crowd:
            assert crowd.together(lambda _: store.claim_copy(seen)).count(True) == 1
        assert the_job(store).copies == 1

    def test_twenty_candidates_for_a_lease_give_one_holder(self, store: Store, clock: Clock) -> None:
        with Crowd(THREADS) as crowd:
            for _ in range(FEWER_ROUNDS):
                taken = crowd.together(lambda n: store.acquire_lease("checker", f"holder-{n}", 30))
                assert taken.count(True) == 1
                clock.advance(31)

    def test_recompute_racing_with_ends_finds_no_drift(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 3600)
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS):

                def race(thread: int, number: int = number) -> str | None:
                    if thread % 4 == 0:
                        return store.recompute_group("g").repaired
                    job_id = f"j{number}-{thread}"
                    if thread % 4 == 1:
                        enqueue(store, job_id, group_id="g")
                    finish(store, job_id, f"t-{job_id}", group_id="g")
                    return None

                assert crowd.together(race) == [None] * THREADS
        assert store.end_filling("g", "f").group.totals.succeeded == FEWER_ROUNDS * 15
