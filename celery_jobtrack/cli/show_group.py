"""One group, for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from celery_jobtrack.cli.facts import facts, moment
from celery_jobtrack.cli.show_groups import counts
from celery_jobtrack.cli.show_jobs import jobs_table, when
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import at, between
from celery_jobtrack.model.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from celery_jobtrack.features.groups import GroupCallback
    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.requests import Page

BAR = 30


def group_details(
    record: GroupRecord,
    status: GroupStatus,
    callbacks: Sequence[GroupCallback],
    members: Page | None,
    *,
    now: datetime,
) -> Group:
    """Everything that is known of a group; of its members, those of one page."""
    parts: list[RenderableType] = [facts(_facts(record, status, now))]
    if callbacks:
        parts += [Text(), _callbacks(callbacks, now)]
    if members is not None and members.items:
        parts += [Text(), jobs_table(members.items, now=now)]
        if members.cursor is not None:
            more = f"There are more: celery … jobtrack jobs --group {record.id} --cursor {members.cursor}"
            parts.append(Text(more, style="dim"))
    return Group(*parts)


def _facts(record: GroupRecord, status: GroupStatus, now: datetime) -> Iterator[tuple[str, object]]:
    yield "group", record.id
    yield "title", record.title
    yield "key", record.key
    yield "description", record.description
    yield "state", state_text(status.state)
    yield "outcome", None if record.outcome is None else state_text(record.outcome)
    yield "done", _bar(status)
    yield "jobs", counts(status)
    yield "kind", _kind(record, status)
    yield "generation", record.generation if record.standing or record.generation > 1 else None
    if record.base_generation > 1:
        yield "lifetime", f"{record.lifetime.total:,} jobs, {record.lifetime.failed:,} failed"
    yield "payload", None if record.payload is None else json.dumps(record.payload, ensure_ascii=False)
    yield "parent", record.parent_id
    yield "on failure", "the first one cancels the rest" if record.cancels_on_failure else None
    yield "first failure", record.first_failure
    yield "created", moment(record.created_at, now)
    yield "started", moment(record.started_at, now)
    yield "completed", moment(record.completed_at, now)
    yield "took", _took(record)
    yield "finishes", _finishes(status, now)
    if not record.is_over or record.next_check_at is not None:
        yield "checked", f"every {span(record.time_to_check)}"
    yield "next check", moment(record.next_check_at, now)
    yield "settles after", span(record.settle_after) if record.settle_after else None


def _callbacks(callbacks: Sequence[GroupCallback], now: datetime) -> RenderableType:
    """A table of callbacks, and of what became of their jobs."""
    columns = (
        Column(title="CALLBACK", cell=_which),
        Column(
            title="STATE", cell=lambda each: "not due" if each.job is None else state_text(each.job.state)
        ),
        Column(title="TASK", cell=lambda each: each.task, narrowest=20, ends_matter=True),
        Column(title="JOB", cell=lambda each: "" if each.job is None else each.job_id, rank=2),
        Column(title="WHEN", cell=lambda each: "" if each.job is None else when(each.job, now), rank=1),
    )
    return FittedTable(columns, callbacks)


def _which(callback: GroupCallback) -> str:
    return f"{callback.kind} every {callback.every}" if callback.every else str(callback.kind)


def _bar(status: GroupStatus) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    bar = ProgressBar(total=max(1, status.total), completed=bar_completed(status), width=BAR)
    grid.add_row(bar, Text(f"{status.percent:.0f} %  {status.final:,} of {status.total:,}"))
    return grid


def bar_completed(status: GroupStatus) -> float:
    """How far a bar of at least one member is filled."""
    return status.percent / 100 * max(1, status.total)


def _kind(record: GroupRecord, status: GroupStatus) -> str:
    said = ["standing group" if record.standing else "batch"]
    if not record.standing:
        said.append("sealed" if record.sealed else "never sealed" if record.is_over else "not sealed yet")
    if record.incomplete:
        said.append("incomplete: its dispatch was abandoned half-way")
    if status.filling:
        said.append("being filled")
    return ", ".join(said)


def _finishes(status: GroupStatus, now: datetime) -> Text | str | None:
    left = time_left(status, now)
    if left is None or status.eta is None:
        return moment(status.eta, now)
    told = f"within {left[6:]}" if left.startswith("up to ") else f"in {left}"
    return Text.assemble(told, (f"  about {at(status.eta)}", "dim"))


def time_left(status: GroupStatus, now: datetime) -> str | None:
    """How long it should still take: ``4 to 6 min``; None if nobody can say."""
    if status.eta_low is None or status.eta_high is None:
        return None
    low, high = ((end - now).total_seconds() for end in (status.eta_low, status.eta_high))
    return between(max(0.0, low), max(1.0, high))


def _took(record: GroupRecord) -> str | None:
    if record.started_at is None or record.completed_at is None:
        return None
    return span((record.completed_at - record.started_at).total_seconds())
