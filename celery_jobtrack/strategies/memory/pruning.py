"""Deletes what is old from the tables of the memory store."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.memory.rows import Tables

K = TypeVar("K")
V = TypeVar("V")


def prune_jobs(tables: Tables, before: datetime, limit: int, wanted: Callable[[JobRecord], bool]) -> int:
    """Delete the oldest ended jobs that are wanted gone, and that nobody waits for."""
    old = [
        (job.finished_at, job.id)
        for job in tables.jobs.values()
        if job.finished_at is not None
        and job.finished_at < before
        and (job.eta is None or job.eta < before)
        and wanted(job)
        and not _is_awaited(tables, job)
    ]
    pruned = {job_id for _, job_id in sorted(old)[:limit]}
    for job_id in pruned:
        del tables.jobs[job_id], tables.job_seqs[job_id]
        tables.messages.pop(job_id, None)
        tables.results.pop(job_id, None)
    for token in [attempt.token for attempt in tables.attempts.values() if attempt.job_id in pruned]:
        del tables.attempts[token]
    return len(pruned)


def prune_groups(tables: Tables, completed_before: datetime, limit: int) -> int:
    """Delete completed groups of which nothing is left."""
    needed = {job.group_id for job in tables.jobs.values()}
    needed |= {event.group_id for event in tables.events.values() if event.is_pending}
    old = (
        group
        for group in tables.groups.values()
        if group.completed_at is not None
        and group.completed_at < completed_before
        and not (group.needs_closing and group.closed_at is None)
    )
    pruned = list(islice((group for group in old if group.id not in needed), limit))
    for group in pruned:
        del tables.groups[group.id], tables.group_seqs[group.id]
        if group.key is not None:
            tables.keys.pop(group.key, None)
    gone = {group.id for group in pruned}
    _delete(tables.events, [event.id for event in tables.events.values() if event.group_id in gone])
    _delete(tables.fillers, [hold for hold in tables.fillers if hold[0] in gone])
    return len(pruned)


def prune_workers(tables: Tables, gone_before: datetime, limit: int) -> int:
    """Delete workers that are gone and have nothing open."""
    busy = {attempt.worker_id for attempt in tables.attempts.values() if attempt.is_open}
    gone = (
        worker
        for worker in tables.workers.values()
        if (worker.stopped_at or worker.lease_until) < gone_before
    )
    pruned = list(islice((w.id for w in gone if w.id not in busy), limit))
    _delete(tables.workers, pruned)
    return len(pruned)


def _is_awaited(tables: Tables, job: JobRecord) -> bool:
    """Whether the job counts in a generation that is not over, or that nobody has been told of."""
    group = None if job.group_id is None else tables.groups.get(job.group_id)
    if group is None:
        return False
    unannounced = any(event.group_id == group.id and event.is_pending for event in tables.events.values())
    return unannounced or (group.counts(job.generation) and not group.is_over)


def _delete(table: dict[K, V], keys: Iterable[K]) -> None:
    for key in keys:
        del table[key]
