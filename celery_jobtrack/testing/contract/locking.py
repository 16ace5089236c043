"""Keys: who takes one and who leaves it, and what becomes of who comes too late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.requests import Refusal, RequeueRequest
from celery_jobtrack.model.state import FINAL, EventKind, JobState, Outcome, Reason
from celery_jobtrack.testing.keys import (
    KEY,
    LATEST,
    RAISE,
    SKIP,
    WAIT,
    assert_free,
    claim,
    run_next,
    standings,
)
from celery_jobtrack.testing.steps import (
    OTHER_WORKER,
    all_events,
    batch,
    enqueue,
    finish,
    redrive,
    retry,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.model.job import ErrorInfo
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


def _lose(store: Store) -> Any:
    error: ErrorInfo | None = None
    return store.requeue_lost(RequeueRequest(job_id="a", token="ta", error=error))  # type: ignore[arg-type]


EXITS: dict[str, Callable[[Store], Any]] = {
    "success": lambda store: finish(store, "a", "ta", **WAIT),
    "failure": lambda store: finish(store, "a", "ta", Outcome.FAILURE, **WAIT),
    "revoked": lambda store: finish(store, "a", "ta", Outcome.REVOKED, reason=Reason.TERMINATED, **WAIT),
    "ignored": lambda store: finish(store, "a", "ta", Outcome.SKIPPED, reason=Reason.IGNORED, **WAIT),
    "lost": lambda store: settle(
        store,
        "a",
        JobState.FAILURE,
        Reason.WORKER_LOST,
        guards={"token": "ta", "outcome": Outcome.LOST},
        **WAIT,
    ),
    "main process": lambda store: settle(
        store, "a", JobState.FAILURE, Reason.TIMEOUT, guards={"worker_id": "worker-1"}, **WAIT
    ),
}
"""How the end of a job that runs may come."""


class LockContract:
    """``Origin.claims``: a key is taken by a start and left by an end; ``prune_locks``."""

    def test_key_is_taken_by_the_start_and_left_by_the_end(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        assert standings(store) == {}
        result = start(store, "a", "ta", **WAIT)
        assert result.admitted
        assert [key for key, _ in result.fences] == [KEY]
        assert standings(store) == {"a": Standing.HOLDING}
        assert finish(store, "a", "ta", **WAIT).called == ()
        assert_free(store)

    def test_key_is_not_taken_by_a_start_that_is_refused(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        settle(store, "a", **WAIT)
        assert start(store, "a", "ta", **WAIT).refusal is Refusal.FINAL
        assert_free(store)

    def test_same_start_again_has_the_same_fence(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        first = start(store, "a", "ta", **WAIT)
        again = start(store, "a", "ta", **WAIT)
        assert again.admitted
        assert again.fences == first.fences

    @pytest.mark.parametrize("how", EXITS)
    def test_every_end_leaves_the_key_and_calls_who_waits(self, store: Store, how: str) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        assert enqueue(store, "b", **WAIT).held_back
        result = EXITS[how](store)
        assert (result.applied, tuple(result.called)) == (True, ("b",))
        assert the_job(store, "a").state in FINAL
        run_next(store, result.called, "tb", **WAIT)
        finish(store, "b", "tb", **WAIT)
        assert_free(store)

    def test_fence_grows_with_every_acquisition(self, store: Store) -> None:
        fences = []
        for number in range(4):
            name, token = f"j{number}", f"t{number}"
            enqueue(store, name, **WAIT)
            fences += [fence for _, fence in start(store, name, token, **WAIT).fences]
            finish(store, name, token, **WAIT)
        assert fences == sorted(set(fences))

    def test_fence_grows_after_the_key_was_pruned(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **WAIT)
        ((_, before),) = start(store, "a", "ta", **WAIT).fences
        finish(store, "a", "ta", **WAIT)
        clock.advance(3600)
        assert store.prune_locks(store.now() - timedelta(seconds=60), 10) == 1
        assert store.lock(KEY) is None
        enqueue(store, "b", **WAIT)
        ((_, after),) = start(store, "b", "tb", **WAIT).fences
        assert after > before

    def test_prune_leaves_keys_at_which_somebody_stands(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        clock.advance(3600)
        assert store.prune_locks(store.now(), 10) == 0
        assert standings(store) == {"a": Standing.HOLDING}

    # -- what becomes of who comes too late -----------------------------------------------------

    def test_skip_at_the_dispatch_ends_the_job(self, store: Store) -> None:
        enqueue(store, "a", **SKIP)
        start(store, "a", "ta", **SKIP)
        result = enqueue(store, "b", **SKIP)
        assert (result.created, result.held_back) == (True, True)
        job = the_job(store, "b")
        assert (job.state, job.reason, job.blocked_by) == (JobState.SKIPPED, Reason.OVERLAP, "a")
        assert job.finished_at is not None
        lock = store.lock(KEY)
        assert lock is not None
        assert lock.rejected == 1

    def test_skip_at_the_start_ends_the_job(self, store: Store) -> None:
        enqueue(store, "a", **SKIP)
        enqueue(store, "b", **SKIP)
        start(store, "a", "ta", **SKIP)
        result = start(store, "b", "tb", **SKIP)
        assert (result.refusal, result.settled) == (Refusal.OVERLAP, True)
        job = the_job(store, "b")
        assert (job.state, job.reason, job.blocked_by) == (JobState.SKIPPED, Reason.OVERLAP, "a")
        assert (job.attempts, standings(store)) == (0, {"a": Standing.HOLDING})

    def test_skip_of_a_job_that_the_store_did_not_know(self, store: Store) -> None:
        start(store, "a", "ta", **SKIP)
        assert start(store, "b", "tb", **SKIP).refusal is Refusal.OVERLAP
        assert the_job(store, "b").state is JobState.SKIPPED

    def test_skipped_member_may_be_the_last_of_its_group(self, store: Store, clock: Clock) -> None:
        batch(store)
        enqueue(store, "a", **SKIP)
        start(store, "a", "ta", **SKIP)
        assert enqueue(store, "b", group_id="g", **SKIP).held_back
        store.seal_group("g")
        assert (the_group(store).totals.skipped, the_group(store).is_over) == (1, True)
        kinds = [event.kind for event in all_events(store, clock)]
        assert kinds == [EventKind.STARTED, EventKind.COMPLETED]

    def test_raise_at_the_dispatch_records_nothing(self, store: Store) -> None:
        enqueue(store, "a", **RAISE)
        start(store, "a", "ta", **RAISE)
        with pytest.raises(Overlapping) as caught:
            enqueue(store, "b", **RAISE)
        assert (caught.value.key, caught.value.holder_id) == (KEY, "a")
        assert store.job("b") is None

    def test_raise_at_the_start_skips(self, store: Store) -> None:
        enqueue(store, "a", **RAISE)
        enqueue(store, "b", **RAISE)
        start(store, "a", "ta", **RAISE)
        assert start(store, "b", "tb", **RAISE).refusal is Refusal.OVERLAP

    def test_wait_at_the_dispatch_parks_the_job(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        assert enqueue(store, "b", **WAIT).held_back
        job = the_job(store, "b")
        assert (job.state, job.waits_for, job.blocked_by) == (JobState.WAITING, KEY, "a")
        assert job.published_at is None
        assert standings(store) == {"a": Standing.HOLDING, "b": Standing.WAITING}

    def test_wait_at_the_start_parks_the_job(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        enqueue(store, "b", **WAIT)
        start(store, "a", "ta", **WAIT)
        result = start(store, "b", "tb", **WAIT)
        assert (result.refusal, result.settled, result.admitted) == (Refusal.PARKED, False, False)
        assert the_job(store, "b").state is JobState.WAITING
        assert store.attempts("b") == []
        assert store.message("b") == b"m"

    def test_message_of_a_parked_job_is_refused(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        enqueue(store, "b", **WAIT)
        assert start(store, "b", "tb", **WAIT).refusal is Refusal.PARKED
        assert standings(store)["b"] is Standing.WAITING

    def test_latest_takes_the_place_of_who_waits(self, store: Store, clock: Clock) -> None:
        enqueue(store, "a", **LATEST)
        start(store, "a", "ta", **LATEST)
        enqueue(store, "b", **LATEST)
        clock.advance(1)
        result = enqueue(store, "c", **LATEST)
        assert (result.held_back, tuple(result.superseded)) == (True, ("b",))
        assert store.superseded_jobs(10) == ["b"]
        settle(store, "b", JobState.SKIPPED, Reason.OVERLAP)
        assert store.superseded_jobs(10) == []
        assert tuple(finish(store, "a", "ta", **LATEST).called) == ("c",)

    def test_latest_skips_who_comes_after_a_newer_one(self, store: Store, clock: Clock) -> None:
        for name in ("a", "b", "c"):
            enqueue(store, name, **LATEST)
            clock.advance(1)
        start(store, "a", "ta", **LATEST)
        assert start(store, "c", "tc", **LATEST).refusal is Refusal.PARKED
        result = start(store, "b", "tb", **LATEST)
        assert (result.refusal, the_job(store, "b").blocked_by) == (Refusal.OVERLAP, "c")
        assert tuple(finish(store, "a", "ta", **LATEST).called) == ("c",)

    def test_dispatch_of_a_job_that_is_due_later_is_not_held_back(self, store: Store) -> None:
        enqueue(store, "a", **SKIP)
        start(store, "a", "ta", **SKIP)
        later = store.now() + timedelta(seconds=60)
        assert not enqueue(store, "b", eta=later, **SKIP).held_back
        assert the_job(store, "b").state is JobState.ENQUEUED

    # -- between the attempts of one job ------------------------------------------------------------

    def test_key_is_kept_across_retries(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        ((_, before),) = start(store, "a", "ta", **WAIT).fences
        enqueue(store, "b", **WAIT)
        assert retry(store, "a", "ta", **WAIT).called == ()
        assert standings(store)["a"] is Standing.HOLDING
        result = start(store, "a", "ta2", retries=1, **WAIT)
        assert result.admitted
        assert result.fences[0][1] > before

    def test_key_is_let_go_between_retries_if_it_is_not_to_be_kept(self, store: Store) -> None:
        freely = claim(across_retries=False)
        enqueue(store, "a", **freely)
        start(store, "a", "ta", **freely)
        enqueue(store, "b", **freely)
        called = retry(store, "a", "ta", **freely).called
        assert run_next(store, called, "tb", **freely) == "b"
        assert start(store, "a", "ta2", retries=1, **freely).refusal is Refusal.PARKED
        called = finish(store, "b", "tb", **freely).called
        assert run_next(store, called, "ta3", retries=1, **freely) == "a"

    def test_key_is_kept_by_a_lost_job_that_runs_again(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        assert _lose(store).applied
        assert standings(store) == {"a": Standing.HOLDING}
        assert start(store, "a", "ta2", worker=OTHER_WORKER, **WAIT).admitted

    def test_lost_job_that_does_not_keep_its_key_calls_who_waits(self, store: Store) -> None:
        freely = claim(across_retries=False)
        enqueue(store, "a", **freely)
        start(store, "a", "ta", **freely)
        enqueue(store, "b", **freely)
        assert tuple(_lose(store).called) == ("b",)

    def test_late_end_of_a_closed_attempt_does_not_touch_the_key(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        EXITS["lost"](store)
        enqueue(store, "b", **WAIT)
        start(store, "b", "tb", **WAIT)
        assert finish(store, "a", "ta", **WAIT).called == ()
        assert standings(store) == {"b": Standing.HOLDING}

    def test_job_that_is_redriven_claims_anew(self, store: Store) -> None:
        enqueue(store, "a", **WAIT)
        start(store, "a", "ta", **WAIT)
        finish(store, "a", "ta", Outcome.FAILURE, **WAIT)
        assert redrive(store, "a").applied
        assert_free(store)
        assert start(store, "a", "ta2", run=2, **WAIT).admitted

    def test_job_that_was_recorded_without_its_claims_leaves_the_key(self, store: Store) -> None:
        for name in ("a", "b"):
            # By code in which its task did not claim anything yet.
            enqueue(store, name)
        assert start(store, "a", "ta", **WAIT).admitted
        assert start(store, "b", "tb", **WAIT).refusal is Refusal.PARKED
        enqueue(store, "c", **WAIT)
        assert store.request_cancel("b").applied
        called = finish(store, "a", "ta", **WAIT).called
        run_next(store, called, "tc", **WAIT)
        finish(store, "c", "tc", **WAIT)
        assert_free(store)
