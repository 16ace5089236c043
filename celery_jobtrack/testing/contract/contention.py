"""Threads that dispatch, redrive and fail at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.state import CallbackKind, EventKind, JobState, Outcome
from celery_jobtrack.testing.contract.bulk import fail_to_publish
from celery_jobtrack.testing.contract.concurrency import FEWER_ROUNDS, THREADS
from celery_jobtrack.testing.steps import (
    all_events,
    batch,
    callback,
    enqueue,
    enqueue_many,
    finish,
    group,
    redrive,
    run,
    start,
    the_group,
    the_job,
)
from celery_jobtrack.testing.threads import Crowd

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class ContentionContract:
    """What is dispatched or redriven by several at once is counted once."""

    def test_twenty_overlapping_chunks_record_each_job_once(self, store: Store) -> None:
        batch(store)
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS // 4):
                ids = [f"job-{number}-{job}" for job in range(60)]

                def dispatch(thread: int, ids: list[str] = ids) -> int:
                    chunk = ids[thread : thread + 40]
                    # As two who dispatch the same in another order.
                    chunk = chunk[::-1] if thread % 2 else chunk
                    return sum(result.created for result in enqueue_many(store, chunk, group_id="g"))

                assert sum(crowd.together(dispatch)) == 59
                assert the_group(store).totals.total == 59 * (number + 1)
        assert store.recompute_group("g").repaired is None

    def test_chunks_racing_with_starts_of_their_jobs_count_each_once(self, store: Store) -> None:
        group(store)
        store.begin_filling("g", "f", 3600)
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS // 4):
                ids = [f"job-{number}-{job}" for job in range(THREADS)]

                def race(thread: int, ids: list[str] = ids) -> bool:
                    if thread % 2:
                        enqueue_many(store, ids, group_id="g")
                        return True
                    return start(store, ids[thread], f"t-{ids[thread]}", group_id="g").admitted

                assert all(crowd.together(race))
                assert the_group(store).totals.total == THREADS * (number + 1)
        assert store.recompute_group("g").repaired is None

    def test_twenty_dispatches_of_a_job_that_was_not_published_are_one_run(self, store: Store) -> None:
        batch(store)
        fail_to_publish(store, "job", group_id="g")
        with Crowd(THREADS) as crowd:
            results = crowd.together(lambda _: enqueue_many(store, ["job"], group_id="g")[0].created)
        assert results.count(True) == 1
        assert (the_job(store).run, the_group(store).totals) == (2, Totals(total=1))

    def test_twenty_redrives_of_one_job_are_one_run(self, store: Store) -> None:
        batch(store)
        enqueue(store, "job", group_id="g")
        store.seal_group("g")
        run(store, "job", Outcome.FAILURE, group_id="g")
        with Crowd(THREADS) as crowd:
            for number in range(2, FEWER_ROUNDS):
                assert crowd.together(lambda _: redrive(store).applied).count(True) == 1
                job, record = the_job(store), the_group(store)
                assert (job.run, job.state, record.generation) == (number, JobState.ENQUEUED, number)
                assert (record.base_generation, record.totals) == (1, Totals(total=1))
                run(store, "job", Outcome.FAILURE, group_id="g", run=number)
                assert the_group(store).is_over

    def test_redrives_of_twenty_members_reopen_their_batch_once(self, store: Store) -> None:
        batch(store)
        ids = [f"job-{number}" for number in range(THREADS)]
        enqueue_many(store, ids, group_id="g")
        store.seal_group("g")
        with Crowd(THREADS) as crowd:
            for number in range(1, 4):

                def fail(member: int, number: int = number) -> bool:
                    return run(store, ids[member], Outcome.FAILURE, group_id="g", run=number).applied

                assert all(crowd.together(fail))
                assert the_group(store).totals == Totals(total=THREADS, failed=THREADS)
                assert all(crowd.together(lambda n: redrive(store, ids[n]).applied))
                assert the_group(store).totals == Totals(total=THREADS)
                assert the_group(store).generation == number + 1
        assert store.recompute_group("g").repaired is None

    def test_redrive_racing_with_the_last_end_loses_no_completion(self, store: Store, clock: Clock) -> None:
        with Crowd(2) as crowd:
            for number in range(2 * FEWER_ROUNDS):
                group_id = f"g{number}"
                failed, last = f"a{number}", f"b{number}"
                batch(store, group_id)
                enqueue_many(store, [failed, last], group_id=group_id)
                store.seal_group(group_id)
                run(store, failed, Outcome.FAILURE, group_id=group_id)
                start(store, last, f"t-{last}", group_id=group_id)

                def race(
                    thread: int, failed: str = failed, last: str = last, group_id: str = group_id
                ) -> bool:
                    if thread == 0:
                        return redrive(store, failed).applied
                    return finish(store, last, f"t-{last}", group_id=group_id).applied

                assert all(crowd.together(race))
                record = the_group(store, group_id)
                # It had completed and was reopened, or it had not completed yet.
                assert record.generation in {1, 2}
                assert (record.is_over, record.totals) == (False, Totals(total=2, succeeded=1))
                assert store.recompute_group(group_id).repaired is None
                run(store, failed, group_id=group_id, run=2)
                record = the_group(store, group_id)
                assert (record.is_over, record.totals) == (True, Totals(total=2, succeeded=2))
                completed = [e for e in all_events(store, clock) if e.kind is EventKind.COMPLETED]
                assert len(completed) == record.generation

    def test_twenty_members_failing_together_are_told_of_once(self, store: Store, clock: Clock) -> None:
        callbacks = (callback(CallbackKind.CATCH), callback(CallbackKind.PROGRESS, every=5))
        with Crowd(THREADS) as crowd:
            for number in range(FEWER_ROUNDS // 2):
                group_id = f"g{number}"
                batch(store, group_id, callbacks=callbacks, cancels_on_failure=bool(number % 2))
                ids = [f"job-{number}-{member}" for member in range(THREADS)]
                enqueue_many(store, ids, group_id=group_id)
                store.seal_group(group_id)
                for job_id in ids:
                    start(store, job_id, f"t-{job_id}", group_id=group_id)

                def fail(member: int, ids: list[str] = ids, group_id: str = group_id) -> bool:
                    job_id = ids[member]
                    return finish(store, job_id, f"t-{job_id}", Outcome.FAILURE, group_id=group_id).applied

                assert all(crowd.together(fail))
                assert the_group(store, group_id).is_over
                events = all_events(store, clock, group_id)
                kinds = [(event.kind, event.step) for event in events]
                assert kinds == [
                    (EventKind.STARTED, 0),
                    (EventKind.FAILED, 0),
                    *((EventKind.PROGRESSED, step) for step in (5, 10, 15, 20)),
                    (EventKind.COMPLETED, 0),
                ]
                assert events[1].job_id == the_group(store, group_id).first_failure
