"""What must hold of callbacks: exactly those that the model predicts, each at its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import CallbackKind, JobState, Reason
from tests.batches.chapters import ended_at
from tests.batches.course import describe
from tests.batches.judgement import CLOCKS, about, about_due, of_group, was_killed
from tests.crash.accounts import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.batches.judgement import Judgement
    from tests.batches.model import Due


def callbacks_right(judgement: Judgement) -> Iterator[Problem]:
    """There are exactly the callbacks that the model predicts."""
    jobs = judgement.books.jobs
    for chapter, prediction in judgement.predictions:
        optional = {job_id for jobs_of_one in prediction.may for job_id in jobs_of_one}
        for job_id, due in prediction.due.items():
            if job_id not in jobs and job_id not in optional:
                yield Problem(kind="missing callback", what=about_due(due, job_id), job_id=job_id)
        for jobs_of_one in prediction.may:
            absent = [job_id not in jobs for job_id in jobs_of_one]
            if any(absent) and not all(absent[absent.index(True) :]):
                what = f"of {describe(chapter.record)} progress was told at an early step, not at a later one"
                yield of_group("missing callback", chapter.record.id, what)
    for job in jobs.values():
        if job.task == "batches.callback" and job.id not in judgement.due:
            yield Problem(kind="unexpected callback", what=about(judgement, job), job_id=job.id)


def callbacks_ended_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A callback's job ends as its body does, or with its worker; no cancelled batch takes it along."""
    for job_id, due in judgement.due.items():
        job = judgement.books.jobs.get(job_id)
        if job is None or not job.is_final:
            continue
        ended = (job.state, job.reason)
        lost = ended == (JobState.FAILURE, Reason.WORKER_LOST) and was_killed(judgement, job)
        if ended != due.callback.ending.natural_end and not lost:
            what = f"{about_due(due, job_id)} ended as {job.state}({job.reason}): {job.error}"
            yield Problem(kind="wrong end", what=what, job_id=job_id)


def callbacks_called_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A callback is given its batch, and not before its time."""
    for job_id, due in judgement.due.items():
        expected = f"{due.callback.kind.value} {due.callback.number}"
        for line in judgement.begun.get(job_id, ()):
            if (line.get("group"), line["name"]) != (due.chapter.record.id, expected):
                what = f"{about_due(due, job_id)} was called as {line['name']} of {line.get('group')}"
                yield Problem(kind="wrong call", what=what, job_id=job_id)
            if line["at"] < _not_before(due) - CLOCKS:
                what = f"{about_due(due, job_id)} was called {_not_before(due) - line['at']:.3f} s too early"
                yield Problem(kind="wrong call", what=what, job_id=job_id)


def _not_before(due: Due) -> float:
    chapter, kind = due.chapter, due.callback.kind
    if kind is CallbackKind.BEFORE:
        started = chapter.record.started_at
        return 0.0 if started is None else started.timestamp()
    if kind is CallbackKind.CATCH:
        return min(chapter.failures, default=0.0)
    if kind is CallbackKind.PROGRESS:
        # Members that run again end a second time: only their first generation has a simple order.
        ends = sorted(ended_at(job) for job in chapter.members)
        return ends[due.step - 1] if chapter.record.generation == 1 else chapter.since
    return chapter.completed_at
