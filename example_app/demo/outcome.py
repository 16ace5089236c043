"""What came out of a census, read from the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack import JobRecord, JobState, Reason
from example_app.app import jobtrack
from example_app.tasks import measure

if TYPE_CHECKING:
    from example_app.demo.census import Census

SLOWEST = 5


@dataclass(frozen=True)
class Entry:
    """A job in one of the lists: what it is about, and what there is to say of it."""

    name: str
    what: str
    why: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a census has to tell beside its report."""

    failures: list[Entry]
    retried: list[Entry]
    slowest: list[Entry]
    unexpected: list[str]
    """What a good run has none of, in words."""

    @classmethod
    def read(cls, census: "Census") -> "Outcome":
        """Go through all of its jobs."""
        jobs = sorted(_members(census), key=lambda job: _name(census, job))
        ran = sorted((job for job in jobs if job.runtime is not None), key=lambda job: -(job.runtime or 0))
        return cls(
            failures=[_failure(census, job) for job in jobs if job.state is not JobState.SUCCESS],
            retried=[_retried(census, job) for job in jobs if job.retries and job.state is JobState.SUCCESS],
            slowest=[Entry(_name(census, job), f"{job.runtime or 0:.2f} s") for job in ran[:SLOWEST]],
            unexpected=list(_unexpected(census, jobs)),
        )


def _members(census: "Census") -> Iterator[JobRecord]:
    assert census.group is not None
    cursor = None
    while True:
        page = census.group.members(limit=1000, cursor=cursor)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def _name(census: "Census", job: JobRecord) -> str:
    return census.names.get(job.id, job.id)


def _failure(census: "Census", job: JobRecord) -> Entry:
    return Entry(
        _name(census, job), str(job.reason or job.state), "" if job.error is None else str(job.error)
    )


def _retried(census: "Census", job: JobRecord) -> Entry:
    errors = [attempt.error for attempt in jobtrack.inspect.job(job.id).attempts if attempt.error]
    return Entry(_name(census, job), f"{job.attempts} attempts", str(errors[0]) if errors else "")


def _unexpected(census: "Census", jobs: list[JobRecord]) -> Iterator[str]:
    """That a file is broken is expected, and nothing else."""
    others = [job for job in jobs if job.state is not JobState.SUCCESS and job.reason is not Reason.ERROR]
    if others:
        yield f"{len(others)} jobs ended for another reason than an error of their file"
    measured = sum(job.task == measure.name and job.state is JobState.SUCCESS for job in jobs)
    if census.report is not None and measured != census.report["files"]:
        yield f"the report counts {census.report['files']} files, and {measured} jobs have measured one"
    if len(jobs) != len(census.names):
        yield f"{len(census.names)} jobs were dispatched, and the group has {len(jobs)}"
