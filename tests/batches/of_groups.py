"""What must hold of batches: each ends, comes to what its members came to, and is counted by its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import CallbackKind, GroupOutcome, JobState
from tests.batches.chapters import ended_at
from tests.batches.course import describe, has_ended
from tests.batches.judgement import CLOCKS, NAMESPACE, about, of_group
from tests.batches.model import predict
from tests.crash.accounts import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.model.job import JobRecord
    from tests.batches.chapters import Chapter
    from tests.batches.judgement import Judgement


def all_ended(judgement: Judgement) -> Iterator[Problem]:
    """Every batch ends, and so does every job."""
    for group in judgement.books.groups:
        if not has_ended(group):
            yield of_group("not ended", group.id, describe(group))
    for job in judgement.books.jobs.values():
        if not job.is_final:
            yield Problem(kind="not final", what=f"{about(judgement, job)} is {job.state}", job_id=job.id)


def as_asked(judgement: Judgement) -> Iterator[Problem]:
    """A batch begins a generation when something in it runs again, and only then."""
    for group, number in judgement.chapters.missing:
        what = f"generation {number} of {describe(group)} ended unseen: nobody asked for the one after it"
        yield of_group("unasked generation", group.id, what)
    reopened = {line["target"] for line in judgement.case.acts if line["act"] == "reopen"}
    for chapter in judgement.chapters:
        more = len(chapter.members) - chapter.ended_before
        asked = chapter.again or more or chapter.batch.name in reopened
        if chapter.record.generation > 1 and not asked:
            what = f"{describe(chapter.record)}: none of its members ran again, and none is new"
            yield of_group("unasked generation", chapter.record.id, what)


def groups_as_predicted(judgement: Judgement) -> Iterator[Problem]:
    """A batch comes to what its members came to; one is cancelled if somebody did that, and only then."""
    for chapter, prediction in judgement.predictions:
        record = chapter.record
        if not record.is_over:
            continue
        if record.outcome is not prediction.outcome:
            what = f"{describe(record)}: its outcome is {record.outcome}, predicted {prediction.outcome}"
            yield of_group("wrong outcome", record.id, what)
        if prediction.must_be_cancelled and not chapter.is_cancelled:
            what = f"{describe(record)} is not cancelled"
            yield of_group("wrong state", record.id, what)
        if (
            chapter.is_cancelled
            and not prediction.may_be_cancelled
            and not _came_too_late(judgement, chapter)
        ):
            what = f"{describe(record)} is cancelled, and nobody did that"
            yield of_group("wrong state", record.id, what)


def _came_too_late(judgement: Judgement, chapter: Chapter) -> bool:
    """Whether it was to become a member of a batch that took none any more: such a one is cancelled."""
    parent_id = chapter.record.parent_id
    if parent_id is None:
        return False
    return not chapter.members and chapter.record.id not in judgement.books.jobs


def children_counted(judgement: Judgement) -> Iterator[Problem]:
    """A batch is one member of its parent, and ends there as it ended itself, after its callbacks."""
    for group in judgement.books.groups:
        chapters = judgement.chapters.of(group.id)
        if group.parent_id is None or not chapters or not group.is_over:
            continue
        chapter = chapters[-1]
        standing_for = [job for job in judgement.books.members.get(group.parent_id, ()) if job.id == group.id]
        if not standing_for and _came_too_late(judgement, chapter):
            continue
        if len(standing_for) != 1:
            what = f"{group.title} is {len(standing_for)} members of its parent"
            yield of_group("wrong child", group.id, what)
            continue
        yield from _child_as_member(judgement, chapter, standing_for[0])


_AS_MEMBER = {
    GroupOutcome.SUCCEEDED: JobState.SUCCESS,
    GroupOutcome.FAILED: JobState.FAILURE,
    GroupOutcome.CANCELLED: JobState.REVOKED,
}


def _child_as_member(judgement: Judgement, chapter: Chapter, job: JobRecord) -> Iterator[Problem]:
    record = chapter.record
    outcome = predict(chapter, NAMESPACE).outcome
    if job.state is not _AS_MEMBER[outcome]:
        what = (
            f"{record.title} came to {outcome}, and in its parent to {job.state}({job.reason}): {job.error}"
        )
        yield of_group("wrong child", record.id, what)
    for job_id, due in judgement.due.items():
        last = due.chapter.record.id == record.id and due.chapter.record.generation == record.generation
        called = judgement.books.jobs.get(job_id)
        if not last or called is None or due.callback.kind is CallbackKind.PROGRESS:
            continue
        if ended_at(called) > ended_at(job) + CLOCKS:
            what = f"{record.title} ended in its parent before its {due.callback.kind} callback {job_id} had"
            yield of_group("wrong child", record.id, what)
