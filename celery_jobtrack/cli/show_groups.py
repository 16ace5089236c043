"""Lists of groups, and a group's numbers in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from celery_jobtrack.cli.pages import listed
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Group

    from celery_jobtrack.features.groups import JobGroup
    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.requests import Page


def groups_page(page: Page, *, now: datetime, filtered: bool) -> Group:
    """One page of groups, and how to ask for the next."""

    def when(group: JobGroup) -> str:
        record: GroupRecord = group.record
        return ago(record.completed_at or record.started_at or record.created_at, now)

    columns = (
        Column(title="GROUP", cell=lambda group: group.id),
        Column(title="STATE", cell=lambda group: state_text(group.state)),
        Column(title="OUTCOME", cell=_outcome, rank=1),
        Column(title="TITLE", cell=lambda group: group.title, narrowest=9),
        Column(title="KEY", cell=lambda group: group.key, narrowest=12, rank=4),
        Column(title="DONE", cell=lambda group: done(group.record), right=True),
        Column(title="FAILED", cell=lambda group: group.totals.failed or "", rank=3, right=True),
        Column(title="GEN", cell=_generation, rank=5, right=True),
        Column(title="WHEN", cell=when, rank=2),
    )
    return listed(FittedTable(columns, page.items), page, what="groups", filtered=filtered)


def done(group: GroupRecord) -> str:
    """How many of how many members have ended."""
    return f"{group.totals.final}/{group.totals.total}"


def _outcome(group: JobGroup) -> Text:
    """What it came to; that it is incomplete, which is a failure, is told before it is over."""
    record: GroupRecord = group.record
    if record.incomplete:
        return Text("INCOMPLETE", style="red")
    return state_text(record.outcome)


def _generation(group: JobGroup) -> object:
    return group.generation if group.generation > 1 else ""


def counts(status: GroupStatus) -> str:
    """The members by what they are doing: ``2 enqueued, 1 started, 5 succeeded``."""
    names = ("enqueued", "waiting", "started", "retrying", "succeeded", "failed", "revoked", "skipped")
    found = [(getattr(status, name), name) for name in names]
    return ", ".join(f"{number:,} {name}" for number, name in found if number) or "no jobs yet"
