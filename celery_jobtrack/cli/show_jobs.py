"""Jobs and their attempts, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from celery_jobtrack.cli.clean import one_line
from celery_jobtrack.cli.pages import listed
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago
from celery_jobtrack.model.spans import span
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.console import Group, RenderableType

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.requests import Page

LONGEST_ERROR = 200
"""Columns of an error in a table, also in one for a pipe; the job itself, or --json, has it whole."""


def jobs_page(page: Page, *, now: datetime, filtered: bool) -> Group:
    """One page of jobs, and how to ask for the next."""
    return listed(jobs_table(page.items, now=now), page, what="jobs", filtered=filtered)


def jobs_table(jobs: Iterable[JobRecord], *, now: datetime) -> RenderableType:
    """A table of jobs."""
    columns = (
        Column(title="JOB", cell=lambda job: job.id),
        Column(title="STATE", cell=lambda job: state_text(job.state)),
        Column(title="REASON", cell=lambda job: job.reason, rank=2),
        Column(title="TASK", cell=lambda job: job.task, narrowest=20, ends_matter=True),
        Column(title="DONE", cell=_done, rank=1, right=True),
        Column(title="QUEUE", cell=lambda job: job.queue, narrowest=12, rank=4),
        Column(title="TRIES", cell=lambda job: job.attempts or "", rank=5, right=True),
        Column(title="TOOK", cell=_took, rank=3, right=True),
        Column(title="GROUP", cell=lambda job: job.group_id, rank=7),
        Column(
            title="ERROR",
            cell=lambda job: one_line(job.error or ""),
            narrowest=24,
            widest=LONGEST_ERROR,
            rank=6,
        ),
        Column(title="WHEN", cell=lambda job: when(job, now)),
    )
    return FittedTable(columns, jobs)


def when(job: JobRecord, now: datetime) -> str:
    """Since when the job is in its state; of one that waits for its time, when that comes."""
    if job.is_final:
        return ago(job.finished_at, now)
    if job.state is JobState.STARTED:
        return ago(job.started_at, now)
    if job.eta is not None and job.eta > now:
        return ago(job.eta, now)
    return ago(job.published_at or job.enqueued_at, now)


def _done(job: JobRecord) -> str:
    if job.state is not JobState.STARTED or job.progress is None:
        return ""
    percent = job.progress.percent
    return f"{job.progress.current:g}" if percent is None else f"{percent:.0f} %"


def _took(job: JobRecord) -> str:
    return "" if job.runtime is None else span(job.runtime)


def error_text(error: object) -> Text | None:
    """An error in one line, in red."""
    return None if error is None else Text(one_line(error), style="red")
