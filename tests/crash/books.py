"""What the store says at one moment, read whole, to be compared with what really happened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_jobtrack import JobTrack
    from celery_jobtrack.model.event import EventCounts
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import Attempt, JobRecord

PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Books:
    """Jobs with their attempts, groups with their members, and what waits."""

    jobs: Mapping[str, JobRecord]
    attempts: Mapping[str, Sequence[Attempt]]
    groups: Sequence[GroupRecord]
    members: Mapping[str, Sequence[JobRecord]]
    events: EventCounts
    read_at: float


def read_books(jobtrack: JobTrack, groups: Sequence[Any]) -> Books:
    """Read everything. Raises StoreUnavailable."""
    jobs = {job.id: job for job in all_pages(jobtrack.inspect.jobs)}
    store = jobtrack.runtime.store
    return Books(
        jobs=jobs,
        attempts={job_id: store.attempts(job_id) for job_id in jobs},
        groups=[group.refresh().record for group in groups],
        members={group.id: all_pages(group.members) for group in groups},
        events=jobtrack.inspect.event_counts(),
        read_at=time.time(),
    )


def is_settled(jobtrack: JobTrack, groups: Sequence[Any]) -> bool:
    """Whether it is worth while to read everything: at a glance, nothing is under way."""
    if any(count and not state.is_final for state, count in jobtrack.inspect.counts().items()):
        return False
    if jobtrack.inspect.event_counts().pending:
        return False
    return all(group.refresh().record.is_over for group in groups if group.record.totals.total)


def all_pages(ask: Any) -> list[Any]:
    """All items of a question that is answered in pages."""
    found, cursor = [], None
    while True:
        page = ask(limit=PAGE, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found
