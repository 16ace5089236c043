"""A single job that has ended is deleted, with all that belongs to it, and nothing comes of it any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import GroupNotCompleted, InvalidPayload, UnknownJob
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.requests import GroupQuery, JobQuery, Refusal
from celery_jobtrack.model.state import CallbackKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.contract.concurrency import FEWER_ROUNDS
from celery_jobtrack.testing.keys import WAIT, assert_free
from celery_jobtrack.testing.steps import (
    all_events,
    announce,
    batch,
    callback,
    enqueue,
    finish,
    group,
    redrive,
    retry,
    run,
    settle,
    start,
    the_group,
    the_job,
)
from celery_jobtrack.testing.threads import Crowd

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

ENDS = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.SKIPPED]


class ForgetContract:
    """``forget_job``."""

    @pytest.mark.parametrize("outcome", ENDS)
    def test_forgotten_job_leaves_nothing(self, store: Store, outcome: Outcome) -> None:
        for job_id in ("job", "other"):
            enqueue(store, job_id, tags=("x", "y"))
            start(store, job_id, f"t1-{job_id}")
            retry(store, job_id, f"t1-{job_id}", message=b"again")
            start(store, job_id, f"t2-{job_id}", retries=1)
            finish(store, job_id, f"t2-{job_id}", outcome, result=b"42", retries=1)
        other = the_job(store, "other")
        assert list(store.forget_job("job")) == []
        assert store.job("job") is None
        assert (list(store.attempts("job")), store.message("job")) == ([], None)
        assert set(store.results(["job", "other"])) == {"other"}
        assert [job.id for job in store.jobs(JobQuery(tag="x")).items] == ["other"]
        assert [job.id for job in store.jobs(JobQuery(state=other.state)).items] == ["other"]
        assert {state: count for state, count in store.counts().items() if count} == {other.state: 1}
        assert (the_job(store, "other"), len(store.attempts("other"))) == (other, 2)
        _assert_sound(store)

    def test_unknown_job_cannot_be_forgotten_and_none_is_forgotten_twice(self, store: Store) -> None:
        with pytest.raises(UnknownJob, match=r"'job' was never recorded .* cannot be forgotten"):
            store.forget_job("job")
        run(store, "job")
        store.forget_job("job")
        with pytest.raises(UnknownJob):
            store.forget_job("job")

    def test_job_that_has_not_ended_is_not_forgotten(self, store: Store) -> None:
        enqueue(store, "queued")
        enqueue(store, "later", eta=store.now() + timedelta(seconds=100))
        announce(store, "announced")
        start(store, "running", "t-running")
        start(store, "retrying", "t-retrying")
        retry(store, "retrying", "t-retrying")
        start(store, "holder", "t-holder", **WAIT)
        enqueue(store, "parked", **WAIT)
        states = {
            "queued": JobState.ENQUEUED,
            "later": JobState.ENQUEUED,
            "announced": JobState.ENQUEUED,
            "running": JobState.STARTED,
            "retrying": JobState.RETRY,
            "parked": JobState.WAITING,
        }
        for job_id, state in states.items():
            before = the_job(store, job_id)
            advice = (
                "or cancel it first" if state is JobState.STARTED else "wait for its end; cancelled before"
            )
            with pytest.raises(InvalidPayload, match=f"job {job_id} .* is {state}, .*{advice}"):
                store.forget_job(job_id)
            assert the_job(store, job_id) == before
        assert finish(store, "running", "t-running").applied

    def test_id_may_be_recorded_anew(self, store: Store) -> None:
        enqueue(store, tags=("x",))
        run(store, "job", Outcome.FAILURE)
        store.forget_job("job")
        assert enqueue(store, tags=("x",)).created
        run(store, "job")
        assert (the_job(store).state, the_job(store).attempts) == (JobState.SUCCESS, 1)
        assert [attempt.number for attempt in store.attempts("job")] == [1]
        assert [job.id for job in store.jobs(JobQuery(tag="x")).items] == ["job"]
        _assert_sound(store)

    def test_job_whose_message_may_still_come_is_not_forgotten(self, store: Store, clock: Clock) -> None:
        enqueue(store, "queued")
        start(store, "retrying", "t-retrying")
        clock.advance(1)
        retry(store, "retrying", "t-retrying")
        announce(store, "end-of-a-chain")
        for job_id in ("queued", "retrying", "end-of-a-chain"):
            assert store.request_cancel(job_id).applied
            with pytest.raises(InvalidPayload, match=f"job {job_id} .* was revoked before it started"):
                store.forget_job(job_id)
            assert start(store, job_id, f"late-{job_id}", retries=1).refusal is Refusal.FINAL

    def test_job_with_a_second_message_is_not_forgotten(self, store: Store) -> None:
        enqueue(store)
        assert store.claim_copy(the_job(store))
        run(store, "job")
        with pytest.raises(InvalidPayload, match="was sent more than once"):
            store.forget_job("job")
        assert the_job(store).state is JobState.SUCCESS

    def test_job_that_was_revoked_and_cannot_come_is_forgotten(self, store: Store) -> None:
        start(store, "terminated", "t")
        settle(store, "terminated", guards={"token": "t"})
        enqueue(store, "expired", expires_at=store.now() + timedelta(seconds=1))
        settle(store, "expired", reason=Reason.EXPIRED)
        for job_id in ("terminated", "expired"):
            store.forget_job(job_id)
            assert store.job(job_id) is None

    def test_member_is_not_forgotten_before_its_group_is_over_and_told(
        self, store: Store, clock: Clock
    ) -> None:
        group(store, title="Holiday")
        for job_id in ("a", "b"):
            enqueue(store, job_id, group_id="g")
        run(store, "a", group_id="g")
        _assert_awaited(store, "a")
        all_events(store, clock)
        _assert_awaited(store, "a")
        run(store, "b", group_id="g")
        _assert_awaited(store, "a")
        all_events(store, clock)
        before, status = the_group(store), store.group_status("g")
        store.forget_job("a")
        assert (the_group(store), store.group_status("g")) == (before, status)
        assert store.recompute_group("g").repaired is None
        assert the_group(store).totals == Totals(total=2, succeeded=2)
        assert [job.id for job in store.members("g", 10).items] == ["b"]
        _assert_sound(store)

    def test_group_with_forgotten_members_is_used_again_with_right_numbers(
        self, store: Store, clock: Clock
    ) -> None:
        group(store)
        for job_id in ("a", "b"):
            enqueue(store, job_id, group_id="g")
            run(store, job_id, group_id="g")
        all_events(store, clock)
        store.forget_job("a")
        enqueue(store, "c", group_id="g")
        store.forget_job("b")  # of a generation that is over
        assert store.recompute_group("g").repaired is None
        _assert_sound(store)
        run(store, "c", group_id="g")
        record = the_group(store)
        assert (record.generation, record.is_over) == (3, True)
        assert record.totals == Totals(total=1, succeeded=1)
        assert record.lifetime == Totals(total=3, succeeded=3)

    def test_batch_with_forgotten_members_is_reopened_with_its_numbers(
        self, store: Store, clock: Clock
    ) -> None:
        batch(store)
        for job_id in ("good", "gone", "bad"):
            enqueue(store, job_id, group_id="g")
        store.seal_group("g")
        run(store, "gone", group_id="g")
        run(store, "good", group_id="g")
        run(store, "bad", Outcome.FAILURE, group_id="g")
        all_events(store, clock)
        store.forget_job("gone")
        redrive(store, "bad")
        with pytest.raises(GroupNotCompleted):
            store.forget_job("good")
        assert store.recompute_group("g").repaired is None
        _assert_sound(store)
        run(store, "bad", group_id="g", run=2)
        record = the_group(store)
        assert (record.state, record.totals) == (GroupState.COMPLETED, Totals(total=3, succeeded=3))

    def test_group_of_which_all_is_forgotten_is_pruned(self, store: Store, clock: Clock) -> None:
        batch(store)
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        run(store, "a", group_id="g")
        all_events(store, clock)
        assert store.prune_groups(store.now(), 10) == 0
        store.forget_job("a")
        assert store.prune_groups(store.now(), 10) == 1
        assert store.group("g") is None

    def test_members_that_were_forgotten_do_not_hold_up_the_listing(self, store: Store, clock: Clock) -> None:
        group(store)
        ids = [f"job-{number}" for number in range(6)]
        for job_id in ids:
            enqueue(store, job_id, group_id="g")
        for job_id in ids:
            run(store, job_id, group_id="g")
        all_events(store, clock)
        page = store.members("g", 2)
        for job_id in ids[1:4]:
            store.forget_job(job_id)
        assert [job.id for job in store.members("g", 10, page.cursor).items] == ids[4:]

    def test_groups_of_which_anything_is_to_be_done_are_found(self, store: Store, clock: Clock) -> None:
        callbacks = (callback(CallbackKind.FINALLY),)
        for group_id in ("running", "open", "closed"):
            batch(store, group_id, callbacks=callbacks)
            enqueue(store, f"of-{group_id}", group_id=group_id)
            store.seal_group(group_id)
        for group_id in ("open", "closed"):
            run(store, f"of-{group_id}", group_id=group_id)
        all_events(store, clock)
        store.close_group("closed")
        ever = GroupQuery(due_before=store.now() + timedelta(days=36_500), limit=10)
        assert {found.id for found in store.groups(ever).items} == {"running", "open"}

    def test_job_that_had_a_key_is_forgotten_and_the_key_is_free(self, store: Store) -> None:
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        (called,) = finish(store, "a", "ta", **WAIT).called
        assert list(store.forget_job("a")) == []
        assert store.unpark(called).applied
        assert start(store, "b", "tb", **WAIT).admitted
        finish(store, "b", "tb", **WAIT)
        store.forget_job("b")
        assert_free(store)
        _assert_sound(store)

    def test_redrive_and_forget_of_one_job_do_not_both_happen(self, store: Store) -> None:
        batch(store)
        with Crowd(2) as crowd:
            for number in range(2 * FEWER_ROUNDS):
                job_id = f"job-{number}"
                enqueue(store, job_id, message=b"kept", tags=("x",))
                run(store, job_id, Outcome.FAILURE)

                def race(thread: int, job_id: str = job_id) -> bool:
                    try:
                        if thread == 0:
                            return redrive(store, job_id).applied
                        store.forget_job(job_id)
                    except (UnknownJob, InvalidPayload):
                        return False
                    return True

                redriven, forgotten = crowd.together(race)
                assert redriven is not forgotten
                if forgotten:
                    left: list[Any] = [store.job(job_id), store.message(job_id), *store.attempts(job_id)]
                    assert left == [None, None]
                else:
                    assert the_job(store, job_id).state is JobState.ENQUEUED
                    assert store.message(job_id) == b"kept"
                    assert run(store, job_id, run=2).applied
        _assert_sound(store)

    def test_one_of_two_who_forget_a_job_learns_that_it_came_late(self, store: Store) -> None:
        with Crowd(2) as crowd:
            for number in range(FEWER_ROUNDS):
                job_id = f"job-{number}"
                run(store, job_id)

                def forget(_: int, job_id: str = job_id) -> bool:
                    try:
                        store.forget_job(job_id)
                    except UnknownJob:
                        return False
                    return True

                assert sorted(crowd.together(forget)) == [False, True]


def _assert_awaited(store: Store, job_id: str) -> None:
    before = the_job(store, job_id)
    with pytest.raises(GroupNotCompleted, match=f"job {job_id} .* is a member of group 'Holiday'"):
        store.forget_job(job_id)
    assert the_job(store, job_id) == before


def _assert_sound(store: Store) -> None:
    cursor, parts = None, 0
    while True:
        page = store.faults(cursor)
        assert page.faults == ()
        cursor, parts = page.cursor, parts + 1
        if cursor is None:
            return
        assert parts < 1000, "the parts do not end"
