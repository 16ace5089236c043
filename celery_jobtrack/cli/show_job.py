"""One job with its attempts, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from celery_jobtrack.cli.clean import clean_lines, one_line
from celery_jobtrack.cli.facts import facts, moment
from celery_jobtrack.cli.show_jobs import LONGEST_ERROR, error_text
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago
from celery_jobtrack.model.spans import span
from celery_jobtrack.model.state import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from celery_jobtrack.features.inspection import JobDetails
    from celery_jobtrack.model.job import Attempt, ErrorInfo, JobRecord


def job_details(details: JobDetails, *, now: datetime, traceback: bool) -> Group:
    """Everything that is known of a job."""
    parts: list[RenderableType] = [facts((*_facts(details.job, now), ("note", "; ".join(_notes(details)))))]
    if details.attempts:
        parts += [Text(), _attempts_table(details.attempts, now)]
    parts += _tracebacks(details, shown=traceback)
    return Group(*parts)


def _facts(job: JobRecord, now: datetime) -> Iterator[tuple[str, object]]:
    yield "job", job.id
    yield "task", job.task
    yield "state", _state(job)
    yield "error", error_text(job.error)
    yield "progress", _progress(job)
    yield "args", job.args
    yield "kwargs", job.kwargs
    yield "tags", ", ".join(job.tags)
    yield "queue", job.queue
    yield "priority", job.priority
    yield "group", job.group_id
    yield "generation", job.generation
    yield "enqueued", moment(job.enqueued_at, now)
    if job.published_at != job.enqueued_at:
        yield "published", moment(job.published_at, now)
    yield "eta", moment(job.eta, now)
    yield "expires", moment(job.expires_at, now)
    yield "started", moment(job.started_at, now)
    yield "finished", moment(job.finished_at, now)
    yield "took", None if job.runtime is None else span(job.runtime)
    if job.retries or job.max_retries is not None:
        yield (
            "retries",
            str(job.retries) if job.max_retries is None else f"{job.retries} of {job.max_retries}",
        )
    yield "run", job.run if job.run > 1 else None
    yield "copies", f"published again {job.copies} times" if job.copies else None
    yield "root", job.root_id if job.root_id != job.id else None
    yield "parent", job.parent_id


def _state(job: JobRecord) -> Text:
    if job.reason is None:
        return state_text(job.state)
    return Text.assemble(state_text(job.state), f" ({job.reason})")


def _progress(job: JobRecord) -> str | None:
    if job.progress is None:
        return None
    current, total, percent = job.progress.current, job.progress.total, job.progress.percent
    said = f"{current:g}" if percent is None else f"{percent:.0f} % ({current:g} of {total:g})"
    return f"{said} {job.progress.text}".rstrip()


def _notes(details: JobDetails) -> Iterator[str]:
    job = details.job
    if details.lock is not None:
        yield f"it {details.lock.said}"
    elif job.reason is Reason.OVERLAP and job.blocked_by is not None:
        yield f"job {job.blocked_by} had its lock"
    if job.cancel_requested:
        yield "its cancellation was asked for"
    if job.copy_waiting:
        yield "a second message of it came while an attempt was open"


def _attempts_table(attempts: Sequence[Attempt], now: datetime) -> FittedTable:
    columns = (
        Column(title="TRY", cell=lambda attempt: attempt.number, right=True),
        Column(title="OUTCOME", cell=_outcome),
        Column(title="WORKER", cell=lambda attempt: attempt.worker, narrowest=14),
        Column(title="PID", cell=lambda attempt: attempt.pid, right=True),
        Column(title="STARTED", cell=lambda attempt: ago(attempt.started_at, now)),
        Column(title="TOOK", cell=_took, right=True),
        Column(title="LATE", cell=lambda attempt: attempt.late_outcome, rank=1),
        Column(
            title="ERROR",
            cell=lambda attempt: error_text(attempt.error),
            narrowest=16,
            widest=LONGEST_ERROR,
            rank=1,
        ),
    )
    return FittedTable(columns, attempts)


def _outcome(attempt: Attempt) -> Text:
    return Text("open", style="blue") if attempt.is_open else state_text(attempt.outcome)


def _took(attempt: Attempt) -> str:
    if attempt.finished_at is None:
        return ""
    return span((attempt.finished_at - attempt.started_at).total_seconds())


def _tracebacks(details: JobDetails, *, shown: bool) -> list[RenderableType]:
    errors = [(f"Attempt {a.number}", a.error) for a in details.attempts]
    if all(error is None for _, error in errors):
        errors = [("The job", details.job.error)]
    kept = [(whose, error) for whose, error in errors if error is not None and error.traceback]
    if not shown:
        return [Text(), Text("Add --traceback to see where it failed.", style="dim")] if kept else []
    if not kept:
        return [Text(), Text("No traceback is kept.", style="dim")]
    return [part for whose, error in kept for part in (Text(), *_traceback(whose, error))]


def _traceback(whose: str, error: ErrorInfo) -> tuple[Text, Text]:
    heading = Text(f"{whose} failed with {one_line(error.type)}:", style="bold")
    # Not wrapped: the marks under its lines would lose their place.
    return heading, Text(clean_lines(error.traceback).rstrip("\n"), no_wrap=True, overflow="ignore")
