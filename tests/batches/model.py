"""What a batch must come to, predicted from what became of its members and from what was done to it.

This knows nothing of how the package does it. What the plan and the journal leave open, since two things
happened at almost the same time, is read from the group's record; then all that follows from it is binding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model import callback as records
from celery_jobtrack.model.state import CallbackKind, GroupOutcome, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.batches.chapters import Chapter
    from tests.batches.plan import Callback

MARGIN = 2.0
"""Seconds between two moments that surely were one after the other, whatever waited for which lock."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """The job of a callback."""

    callback: Callback
    chapter: Chapter
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one generation of one batch must come to."""

    outcome: GroupOutcome
    must_be_cancelled: bool
    may_be_cancelled: bool
    due: Mapping[str, Due]
    """The jobs of callbacks that there must be, by their ids."""
    may: Sequence[Sequence[str]]
    """Those of ``due`` that there may be, for each callback of progress, the last one first.

    There are none of them, or the first one here, or the first two, and so on.
    """


def predict(chapter: Chapter, namespace: str) -> Prediction:
    """What must come of a generation that is over."""
    failed = _failed_before_cancelled(chapter)
    outcome = GroupOutcome.FAILED if chapter.lacks else _outcome(chapter, failed=failed)
    required = _must_be_cancelled(chapter, failed=failed)
    due: dict[str, Due] = {}
    may: list[dict[str, Due]] = []
    for callback in chapter.batch.callbacks:
        if callback.kind is CallbackKind.PROGRESS:
            surely, perhaps = _steps(chapter, callback.every)
            due |= _jobs(chapter, callback, namespace, surely)
            may.append(_jobs(chapter, callback, namespace, perhaps))
        elif _is_due(callback.kind, outcome, failed=failed or chapter.lacks):
            due |= _jobs(chapter, callback, namespace, (0,))
    return Prediction(
        outcome=outcome,
        must_be_cancelled=required,
        may_be_cancelled=required or chapter.cancelled_from() <= chapter.completed_at + MARGIN,
        due=due | {job_id: each for jobs in may for job_id, each in jobs.items()},
        may=[tuple(jobs) for jobs in may],
    )


def _is_due(kind: CallbackKind, outcome: GroupOutcome, *, failed: bool) -> bool:
    if kind is CallbackKind.THEN:
        return outcome is GroupOutcome.SUCCEEDED
    if kind is CallbackKind.CATCH:
        return failed
    return True


def _failed_before_cancelled(chapter: Chapter) -> bool:
    """Whether a member failed for good, or the dispatch did, before anybody cancelled the batch."""
    if not chapter.failures:
        return False
    first = chapter.failures[0]
    cascaded = [above.cancelled_from() for above in chapter.above if above.is_cancelled]
    began = min([*(window.began for window in chapter.cancels), *cascaded], default=None)
    if began is None or (first < began - MARGIN and not chapter.orphaned):
        return True
    # A cancelled parent takes its time to cancel the batches within: only an own cancel bounds it.
    returned = min((window.ended for window in chapter.cancels), default=None)
    if returned is not None and first > returned + MARGIN and not chapter.orphaned:
        return False
    return chapter.record.first_failure is not None or chapter.record.incomplete


def _outcome(chapter: Chapter, *, failed: bool) -> GroupOutcome:
    if failed:
        return GroupOutcome.FAILED
    if chapter.is_cancelled:
        return GroupOutcome.CANCELLED
    bad = any(job.state in {JobState.FAILURE, JobState.REVOKED} for job in chapter.members)
    return GroupOutcome.FAILED if bad else GroupOutcome.SUCCEEDED


def _must_be_cancelled(chapter: Chapter, *, failed: bool) -> bool:
    if failed and not chapter.batch.allow_failures:
        return True
    return any(window.ended < chapter.completed_at - MARGIN for window in chapter.cancels)


def _steps(chapter: Chapter, every: int) -> tuple[list[int], list[int]]:
    """At which numbers of ended members progress must be told, and at which it may have been.

    While the members that run again are queued one by one, those that were queued first may have ended
    again: how far the number went down before it went up is left open.
    """
    ended = sum(job.is_final for job in chapter.members)
    surely_from = chapter.ended_before - (1 if chapter.again else 0)
    perhaps_from = chapter.ended_before - len(chapter.again)
    surely = [step for step in range(surely_from + 1, ended + 1) if step % every == 0]
    perhaps = [step for step in range(perhaps_from + 1, surely_from + 1) if step % every == 0]
    return surely, perhaps[::-1]


def _jobs(chapter: Chapter, callback: Callback, namespace: str, steps: Sequence[int]) -> dict[str, Due]:
    known = records.Callback(
        kind=callback.kind, number=callback.number, task="", signature="", every=callback.every
    )
    record = chapter.record
    return {
        known.job_id(namespace, record.id, record.generation, step): Due(
            callback=callback, chapter=chapter, step=step
        )
        for step in steps
    }
