"""What is found out of a case once, for all checks of the verdict."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.batches.chapters import Chapter, Chapters, is_group
from tests.batches.course import describe
from tests.batches.model import predict
from tests.crash.accounts import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.model.job import JobRecord
    from tests.batches.chapters import Case
    from tests.batches.model import Due, Prediction
    from tests.batches.plan import Member

NAMESPACE = "default"
CLOCKS = 0.05
"""Seconds by which the store's time and that of the bodies may differ on one machine."""


class Judgement:
    """What is found out of a case once, for all checks."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.books = case.books
        self.chapters = Chapters(case)
        self.predictions: list[tuple[Chapter, Prediction]] = [
            (chapter, predict(chapter, NAMESPACE)) for chapter in self.chapters
        ]
        self.members: Mapping[str, Member] = case.plan.all_members()
        self.due: dict[str, Due] = {}
        for _, prediction in self.predictions:
            self.due |= prediction.due
        self.begun: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.ended: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in case.bodies:
            (self.begun if line["phase"] == "begin" else self.ended)[line["job"]].append(line)

    def name_of(self, job: JobRecord) -> str | None:
        """The name that the plan gives to a member; None for what is none."""
        name = (job.args or "").strip("()',")
        return name if name in self.members else None

    def any_name_of(self, job: JobRecord) -> str | None:
        """The name of a member, whether it is a job or a batch."""
        return (job.args or "").strip("'") if is_group(job) else self.name_of(job)


def was_killed(judgement: Judgement, job: JobRecord) -> bool:
    """Whether a kill may have ended a job in its present run."""
    attempts = [each for each in judgement.books.attempts.get(job.id, ()) if each.run == job.run]
    killed = judgement.case.killed
    if attempts and attempts[-1].retries == job.retries:
        at = killed.pids.get(attempts[-1].pid)
        return at is not None and attempts[-1].started_at.timestamp() <= at + CLOCKS
    # Celery ends what it had handed to the child, also if that had not begun it.
    return killed.children > 0


def about(judgement: Judgement, job: JobRecord) -> str:
    """A job, for people."""
    return f"{job.task} {judgement.any_name_of(job) or job.args} (job {job.id}, run {job.run})"


def about_due(due: Due, job_id: str) -> str:
    """The job of a callback, for people."""
    step = f" at {due.step}" if due.step else ""
    about = f"callback {due.callback.kind} {due.callback.number}{step} ({job_id})"
    return f"{about} of {describe(due.chapter.record)}"


def of_group(kind: str, group_id: str, what: str) -> Problem:
    """Something that is wrong with a group."""
    return Problem(kind=kind, what=what, job_id=group_id)
