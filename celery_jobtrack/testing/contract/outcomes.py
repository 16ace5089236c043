"""What a group came to, and what it tells on the way: its first failure, its progress, its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import (
    CallbackKind,
    EventKind,
    GroupOutcome,
    GroupState,
    JobState,
    Outcome,
    Reason,
)
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
    settle,
    start,
    the_group,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

STARTED, FAILED, PROGRESSED, COMPLETED = (
    EventKind.STARTED,
    EventKind.FAILED,
    EventKind.PROGRESSED,
    EventKind.COMPLETED,
)
CATCH = (callback(CallbackKind.CATCH),)


def told(store: Store, clock: Clock) -> list[tuple[EventKind, object]]:
    """The events that are left, each with what it says."""
    return [
        (event.kind, event.outcome or event.job_id or event.step or None)
        for event in all_events(store, clock)
    ]


class OutcomeContract:
    """The outcome of a generation, and the events of groups that have callbacks."""

    @pytest.mark.parametrize(
        ("outcomes", "expected"),
        [
            ([], GroupOutcome.SUCCEEDED),
            ([Outcome.SUCCESS, Outcome.SKIPPED], GroupOutcome.SUCCEEDED),
            ([Outcome.SUCCESS, Outcome.FAILURE], GroupOutcome.FAILED),
            ([Outcome.REVOKED, Outcome.SUCCESS], GroupOutcome.FAILED),
        ],
    )
    def test_completed_event_says_what_the_batch_came_to(
        self, store: Store, clock: Clock, outcomes: list[Outcome], expected: GroupOutcome
    ) -> None:
        batch(store)
        for number, outcome in enumerate(outcomes):
            run(store, f"job-{number}", outcome, group_id="g")
        store.seal_group("g")
        assert told(store, clock) == [(STARTED, None), (COMPLETED, expected)]
        assert the_group(store).outcome is expected

    def test_incomplete_batch_has_failed(self, store: Store, clock: Clock) -> None:
        batch(store)
        run(store, "a", group_id="g")
        assert the_group(store).outcome is None
        store.seal_group("g", incomplete=True)
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.FAILED)]

    def test_cancelled_group_is_cancelled_unless_it_had_failed(self, store: Store, clock: Clock) -> None:
        for group_id, outcome in (("kept", Outcome.SUCCESS), ("broken", Outcome.FAILURE)):
            group(store, group_id)
            for member in "ab":
                enqueue(store, f"{group_id}-{member}", group_id=group_id)
            run(store, f"{group_id}-a", outcome, group_id=group_id)
            store.cancel_group(group_id)
            settle(store, f"{group_id}-b", JobState.FAILURE, Reason.WORKER_LOST)
        outcomes = {e.group_id: e.outcome for e in all_events(store, clock) if e.kind is COMPLETED}
        assert outcomes == {"kept": GroupOutcome.CANCELLED, "broken": GroupOutcome.FAILED}
        assert the_group(store, "kept").first_failure is None

    def test_first_failure_is_told_once(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=CATCH)
        enqueue_many(store, "abcd", group_id="g")
        store.seal_group("g")
        run(store, "a", group_id="g")
        run(store, "b", Outcome.FAILURE, group_id="g")
        assert the_group(store).first_failure == "b"
        assert not the_group(store).is_over
        run(store, "c", Outcome.FAILURE, group_id="g")
        run(store, "d", Outcome.REVOKED, group_id="g")
        assert the_group(store).first_failure == "b"
        assert told(store, clock) == [(STARTED, None), (FAILED, "b"), (COMPLETED, GroupOutcome.FAILED)]

    def test_failure_is_told_by_whoever_closes_the_attempt(self, store: Store) -> None:
        batch(store, callbacks=CATCH)
        (started,) = start(store, "a", "ta", group_id="g").events
        assert store.acknowledge_event(started.id, store.claimant) == ()
        (event,) = finish(store, "a", "ta", Outcome.FAILURE, group_id="g").events
        assert (event.kind, event.job_id, event.generation) == (FAILED, "a", 1)

    def test_failure_of_the_only_member_is_told_before_the_completion(
        self, store: Store, clock: Clock
    ) -> None:
        batch(store, callbacks=CATCH)
        enqueue(store, "a", group_id="g")
        store.seal_group("g")
        settle(store, "a", JobState.FAILURE, Reason.PUBLISH_FAILED)
        assert told(store, clock) == [(STARTED, None), (FAILED, "a"), (COMPLETED, GroupOutcome.FAILED)]

    def test_failure_is_kept_but_not_told_where_nobody_wants_to_know(
        self, store: Store, clock: Clock
    ) -> None:
        group(store, callbacks=(callback(CallbackKind.FINALLY),))
        enqueue_many(store, "ab", group_id="g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        assert the_group(store).first_failure == "a"
        run(store, "b", group_id="g")
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.FAILED)]

    def test_revoked_member_is_no_first_failure(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=CATCH)
        run(store, "a", Outcome.REVOKED, group_id="g")
        store.seal_group("g")
        assert the_group(store).first_failure is None
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.FAILED)]

    def test_each_generation_tells_its_own_failure(self, store: Store, clock: Clock) -> None:
        group(store, callbacks=CATCH)
        for job_id in "ab":
            run(store, job_id, Outcome.FAILURE, group_id="g")
        run(store, "c", group_id="g")
        failed = [(e.generation, e.job_id) for e in all_events(store, clock) if e.kind is FAILED]
        assert failed == [(1, "a"), (2, "b")]
        assert (the_group(store).first_failure, the_group(store).outcome) == (None, GroupOutcome.SUCCEEDED)

    def test_failure_that_was_told_is_not_taken_back(self, store: Store, clock: Clock) -> None:
        """One generation never has both: whoever was told of the failure is not told of success."""
        batch(store, callbacks=CATCH)
        enqueue_many(store, "ab", group_id="g")
        store.seal_group("g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        assert redrive(store, "a").applied
        run(store, "a", group_id="g", run=2)
        run(store, "b", group_id="g")
        assert told(store, clock) == [(STARTED, None), (FAILED, "a"), (COMPLETED, GroupOutcome.FAILED)]

    def test_failure_that_nobody_was_told_of_can_be_made_good(self, store: Store, clock: Clock) -> None:
        batch(store)
        enqueue_many(store, "ab", group_id="g")
        store.seal_group("g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        assert redrive(store, "a").applied
        run(store, "a", group_id="g", run=2)
        run(store, "b", group_id="g")
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.SUCCEEDED)]

    def test_abandoned_dispatch_is_a_failure_that_is_told(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=CATCH)
        enqueue_many(store, "ab", group_id="g")
        changed = store.seal_group("g", incomplete=True)
        assert [event.kind for event in changed.events] == [STARTED]
        assert (changed.group.state, changed.group.sealed) == (GroupState.RUNNING, True)
        assert changed.group.started_at is not None
        for job_id in "ab":
            run(store, job_id, group_id="g")
        assert told(store, clock) == [(STARTED, None), (FAILED, None), (COMPLETED, GroupOutcome.FAILED)]

    def test_abandoned_dispatch_and_failed_members_are_told_of_once(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=CATCH)
        enqueue_many(store, "ab", group_id="g")
        store.seal_group("g", incomplete=True)
        store.seal_group("g", incomplete=True)
        run(store, "a", Outcome.FAILURE, group_id="g")
        store.seal_group("g", incomplete=True)
        run(store, "b", Outcome.FAILURE, group_id="g")
        assert the_group(store).first_failure == "a"
        assert told(store, clock) == [(STARTED, None), (FAILED, None), (COMPLETED, GroupOutcome.FAILED)]

    def test_first_failure_cancels_a_group_that_wants_that(self, store: Store, clock: Clock) -> None:
        batch(store, cancels_on_failure=True)
        enqueue_many(store, "abcd", group_id="g")
        store.seal_group("g")
        start(store, "c", "tc", group_id="g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        record = the_group(store)
        assert (record.state, record.is_over, record.first_failure) == (GroupState.CANCELLED, False, "a")
        assert list(store.due_groups(10)) == ["g"]
        assert list(store.cancelled_groups(10)) == ["g"]
        assert start(store, "b", "tb", group_id="g").refusal is Refusal.GROUP_CANCELLED
        settle(store, "d", JobState.REVOKED, Reason.GROUP_CANCELLED)
        finish(store, "c", "tc", group_id="g")
        record = the_group(store)
        assert record.totals == Totals(total=4, succeeded=1, failed=1, revoked=2)
        assert (record.state, record.outcome) == (GroupState.CANCELLED, GroupOutcome.FAILED)
        assert told(store, clock) == [(STARTED, None), (FAILED, "a"), (COMPLETED, GroupOutcome.FAILED)]

    def test_failure_of_the_last_member_cancels_and_completes_at_once(
        self, store: Store, clock: Clock
    ) -> None:
        group(store, cancels_on_failure=True, settle_after=100.0)
        store.begin_filling("g", "f", 100)
        run(store, "a", Outcome.FAILURE, group_id="g")
        record = the_group(store)
        assert (record.state, record.is_over) == (GroupState.CANCELLED, True)
        assert list(store.cancelled_groups(10)) == []
        assert told(store, clock)[-1] == (COMPLETED, GroupOutcome.FAILED)

    def test_abandoned_dispatch_cancels_a_group_that_wants_that(self, store: Store, clock: Clock) -> None:
        batch(store, cancels_on_failure=True)
        enqueue_many(store, "ab", group_id="g")
        start(store, "a", "ta", group_id="g")
        store.seal_group("g", incomplete=True)
        assert start(store, "b", "tb", group_id="g").refusal is Refusal.GROUP_CANCELLED
        finish(store, "a", "ta", group_id="g")
        assert told(store, clock) == [(STARTED, None), (FAILED, None), (COMPLETED, GroupOutcome.FAILED)]

    @pytest.mark.parametrize("cancels", [True, False])
    def test_dispatch_abandoned_after_somebody_cancelled_is_no_failure(
        self, store: Store, clock: Clock, cancels: bool
    ) -> None:
        batch(store, callbacks=CATCH, cancels_on_failure=cancels)
        start(store, "a", "ta", group_id="g")
        store.cancel_group("g")
        changed = store.seal_group("g", incomplete=True)
        assert (changed.group.sealed, changed.group.incomplete) == (False, False)
        finish(store, "a", "ta", group_id="g")
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.CANCELLED)]

    @pytest.mark.parametrize("sealed", [True, False])
    @pytest.mark.parametrize("over", [True, False])
    def test_batch_cancelled_before_it_was_dispatched_whole_lacks_members_when_it_runs_again(
        self, store: Store, clock: Clock, sealed: bool, over: bool
    ) -> None:
        batch(store, callbacks=CATCH)
        enqueue(store, "a", group_id="g")
        if sealed and not over:
            store.seal_group("g")
        store.cancel_group("g")
        for is_due in (not over, over):
            if is_due:
                store.seal_group("g", incomplete=True)
            if the_group(store).outstanding:
                settle(store, "a", JobState.REVOKED, Reason.GROUP_CANCELLED)
        assert told(store, clock) == [(STARTED, None), (COMPLETED, GroupOutcome.CANCELLED)]
        assert redrive(store, "a").applied
        run(store, "a", group_id="g", run=2)
        record = the_group(store)
        assert (record.generation, record.outcome) == (2, GroupOutcome.FAILED)

    def test_progress_is_told_each_time_so_many_have_ended(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=(callback(CallbackKind.PROGRESS, every=2),))
        ids = [f"job-{number}" for number in range(5)]
        enqueue_many(store, ids, group_id="g")
        store.seal_group("g")
        for job_id, outcome in zip(ids, [*Outcome][:2] * 3, strict=False):
            run(store, job_id, outcome, group_id="g")
        assert told(store, clock) == [
            (STARTED, None),
            (PROGRESSED, 2),
            (PROGRESSED, 4),
            (COMPLETED, GroupOutcome.FAILED),
        ]

    def test_progress_steps_serve_all_callbacks(self, store: Store, clock: Clock) -> None:
        callbacks = (
            callback(CallbackKind.PROGRESS, every=4),
            callback(CallbackKind.PROGRESS, 1, every=6),
            callback(CallbackKind.FINALLY),
        )
        batch(store, callbacks=callbacks)
        ids = [f"job-{number}" for number in range(6)]
        enqueue_many(store, ids, group_id="g")
        store.seal_group("g")
        for job_id in ids:
            settle(store, job_id, JobState.SKIPPED, Reason.OVERLAP)
        assert told(store, clock) == [
            (STARTED, None),
            (PROGRESSED, 2),
            (PROGRESSED, 4),
            (PROGRESSED, 6),
            (COMPLETED, GroupOutcome.SUCCEEDED),
        ]

    def test_step_that_is_reached_again_is_told_once(self, store: Store, clock: Clock) -> None:
        batch(store, callbacks=(callback(CallbackKind.PROGRESS, every=1),))
        enqueue_many(store, "ab", group_id="g")
        store.seal_group("g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        redrive(store, "a")
        run(store, "a", group_id="g", run=2)
        run(store, "b", Outcome.FAILURE, group_id="g")
        events = all_events(store, clock)
        assert [(e.kind, e.step) for e in events if e.kind is PROGRESSED] == [
            (PROGRESSED, 1),
            (PROGRESSED, 2),
        ]
        redrive(store, "b")
        run(store, "b", group_id="g", run=2)
        again = all_events(store, clock)
        assert [(e.generation, e.step) for e in again if e.kind is PROGRESSED] == [(2, 2)]
        assert len({event.id for event in [*events, *again]}) == len(events) + len(again)

    def test_callbacks_of_a_group_are_kept(self, store: Store) -> None:
        callbacks = tuple(callback(kind, every=3) for kind in CallbackKind)
        created = group(store, callbacks=callbacks, cancels_on_failure=True, parent_id="parent")
        record = the_group(store)
        assert record == created
        assert record.callbacks == callbacks
        assert (record.cancels_on_failure, record.parent_id) == (True, "parent")
        assert (record.progress_every, record.tells_failure, record.needs_closing) == (3, True, True)
