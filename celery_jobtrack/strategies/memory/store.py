"""A store in the memory of one process: for tests, eager apps and the ``memory://`` broker."""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.fault import Fault, FaultPage
from celery_jobtrack.model.group import describe_status
from celery_jobtrack.model.requests import Page, WorkerRecord
from celery_jobtrack.model.state import QUEUED, GroupState, JobState
from celery_jobtrack.strategies.memory import faults, pruning
from celery_jobtrack.strategies.memory.halts import HaltAnswers
from celery_jobtrack.strategies.memory.locks import LockAnswers
from celery_jobtrack.strategies.memory.rows import MemoryRows, Tables
from celery_jobtrack.strategies.row.store import RowStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import GroupQuery, JobQuery, Worker
    from celery_jobtrack.strategies.row.rows import Rows

S = TypeVar("S", JobState, GroupState)
T = TypeVar("T")


class MemoryStore(LockAnswers, HaltAnswers, RowStore):
    """Everything in dictionaries under one lock. It ends with its process, and no other sees it.

    Args:
        clock: Gives the time in seconds since 1970; by default the machine's clock.
        namespace: What errors call it.
    """

    def __init__(self, clock: Callable[[], float] | None = None, *, namespace: str = "default") -> None:
        super().__init__()
        self._namespace = namespace
        self._clock = clock
        self._lock = threading.RLock()
        self._tables = Tables()

    @property
    def url(self) -> str:
        return "memory://"

    def open(self) -> None:
        """Nothing to do: the tables are there."""

    def close(self) -> None:
        """Nothing to let go of."""

    def after_fork(self) -> None:
        # The parent may have held the lock in the moment of the fork.
        self._lock = threading.RLock()
        self.claimant = uuid.uuid4().hex

    def now(self) -> datetime:
        if self._clock is None:
            return datetime.now(timezone.utc)
        return datetime.fromtimestamp(self._clock(), timezone.utc)

    @contextmanager
    def transaction(self) -> Iterator[MemoryRows]:
        with self._lock:
            rows = MemoryRows(self._tables, self.now(), self._namespace)
            try:
                yield rows
            except BaseException:
                rows.undo()
                raise

    def _read(self, read: Callable[[Tables], T]) -> T:
        with self._lock:
            return read(self._tables)

    # -- answers -------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobRecord | None:
        return self._read(lambda tables: tables.jobs.get(job_id))

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        return self._read(lambda tables: [a for a in tables.attempts.values() if a.job_id == job_id])

    def message(self, job_id: str) -> bytes | None:
        return self._read(lambda tables: tables.messages.get(job_id))

    def results(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        return self._read(
            lambda tables: {job_id: tables.results[job_id] for job_id in job_ids if job_id in tables.results}
        )

    def jobs(self, query: JobQuery) -> Page:
        def matches(job: JobRecord) -> bool:
            return (
                query.state in (None, job.state)
                and query.task in (None, job.task)
                and query.queue in (None, job.queue)
                and query.group_id in (None, job.group_id)
                and (query.tag is None or query.tag in job.tags)
                and (query.since is None or _appeared(job) >= query.since)
            )

        return self._read(lambda tables: _page(tables.jobs, tables.job_seqs, matches, query))

    def group(self, group_id: str) -> GroupRecord | None:
        return self._read(lambda tables: tables.groups.get(group_id))

    def group_by_key(self, key: str) -> GroupRecord | None:
        return self._read(lambda tables: tables.groups.get(tables.keys.get(key, "")))

    def groups(self, query: GroupQuery) -> Page:
        def matches(group: GroupRecord) -> bool:
            due = query.due_before
            return query.state in (None, group.state) and (
                due is None or (group.next_check_at is not None and group.next_check_at < due)
            )

        return self._read(lambda tables: _page(tables.groups, tables.group_seqs, matches, query))

    def group_status(self, group_id: str) -> GroupStatus | None:
        with self.transaction() as rows:
            group = rows.group(group_id, lock=False)
            if group is None:
                return None
            members = rows.members(group_id, group.base_generation, group.generation)
            live = _count(job.state for job in members)
            return describe_status(group, live, filling=rows.is_filling(group_id), now=rows.now())

    def members(self, group_id: str, limit: int, cursor: str | None = None) -> Page:
        after = 0 if cursor is None else _seq_of(cursor)

        def read(tables: Tables) -> Page:
            seqs = tables.job_seqs
            mine = (job for job in tables.jobs.values() if job.group_id == group_id and seqs[job.id] > after)
            found = sorted(mine, key=lambda job: seqs[job.id])
            items = found[:limit]
            more = str(seqs[items[-1].id]) if len(found) > len(items) else None
            return Page(items=tuple(items), cursor=more)

        return self._read(read)

    def due_groups(self, limit: int) -> Sequence[str]:
        now = self.now()

        def read(tables: Tables) -> list[str]:
            due = [(g.next_check_at, g.id) for g in tables.groups.values() if g.next_check_at is not None]
            return [group_id for at, group_id in sorted(due) if at <= now][:limit]

        return self._read(read)

    def queued_members(self, group_id: str, limit: int) -> Sequence[JobRecord]:
        waiting = QUEUED | {JobState.WAITING}
        return self._some(lambda job: job.group_id == group_id and job.state in waiting, limit)

    def cancelled_groups(self, limit: int) -> Sequence[str]:
        def read(tables: Tables) -> list[str]:
            found = (
                g.id for g in tables.groups.values() if g.state is GroupState.CANCELLED and not g.is_over
            )
            return list(islice(found, limit))

        return self._read(read)

    def has_due_events(self) -> bool:
        with self.transaction() as rows:
            return bool(rows.groups_with_pending_events(1))

    # -- workers ---------------------------------------------------------------------------------

    def register_worker(self, worker: Worker, lease: float) -> None:
        now = self.now()
        record = WorkerRecord(
            id=worker.id,
            name=worker.name,
            pid=worker.pid,
            registered_at=now,
            heartbeat_at=now,
            lease_until=now + timedelta(seconds=lease),
        )
        self._read(lambda tables: tables.workers.update({worker.id: record}))

    def heartbeat(self, worker: Worker, lease: float) -> None:
        now = self.now()

        def renew(tables: Tables) -> bool:
            known = tables.workers.get(worker.id)
            if known is None or not known.is_alive(now):
                return False
            until = now + timedelta(seconds=lease)
            tables.workers[worker.id] = replace(known, heartbeat_at=now, lease_until=until)
            return True

        if not self._read(renew):
            self.register_worker(worker, lease)

    def stop_worker(self, worker_id: str) -> None:
        now = self.now()

        def stop(tables: Tables) -> None:
            record = tables.workers.get(worker_id)
            if record is not None and record.stopped_at is None:
                until = min(now, record.lease_until)
                tables.workers[worker_id] = replace(record, lease_until=until, stopped_at=now)

        self._read(stop)

    def workers(self, *, alive: bool = True) -> Sequence[WorkerRecord]:
        now = self.now()
        return self._read(
            lambda tables: sorted(
                (w for w in tables.workers.values() if not alive or w.is_alive(now)), key=lambda w: w.name
            )
        )

    def lost_attempts(self, limit: int) -> Sequence[Attempt]:
        now = self.now()

        def lost(tables: Tables) -> list[Attempt]:
            alive = {w.id for w in tables.workers.values() if w.is_alive(now)}
            found = (a for a in tables.attempts.values() if a.is_open and a.worker_id not in alive)
            return list(islice(found, limit))

        return self._read(lost)

    def open_attempts(self, worker_id: str, limit: int) -> Sequence[Attempt]:
        def opened(tables: Tables) -> list[Attempt]:
            found = (a for a in tables.attempts.values() if a.is_open and a.worker_id == worker_id)
            return list(islice(found, limit))

        return self._read(opened)

    def observe(self, silence: float, lease: float) -> bool:
        now = self.now()

        def look(tables: Tables) -> bool:
            last, tables.last_look = tables.last_look, now
            heard_since = now - timedelta(seconds=silence)
            last = now if last is None else last
            if last < heard_since and any(w.is_missing(last, heard_since) for w in tables.workers.values()):
                tables.paused_until = now + timedelta(seconds=lease)
            return tables.paused_until is None or tables.paused_until <= now

        return self._read(look)

    # -- upkeep ----------------------------------------------------------------------------------

    def overdue_queues(self, published_before: datetime) -> Sequence[str]:
        overdue = self._some(lambda job: _is_overdue(job, published_before), None)
        return sorted({job.queue for job in overdue if job.queue is not None})

    def overdue_jobs(self, queue: str, published_before: datetime, limit: int) -> Sequence[JobRecord]:
        found = self._some(lambda job: job.queue == queue and _is_overdue(job, published_before), None)
        return sorted(found, key=_due_at)[:limit]

    def started_after(self, queue: str, published_at: datetime) -> bool:
        def later(job: JobRecord) -> bool:
            return (
                job.queue == queue
                and job.started_at is not None
                and job.published_at is not None
                and published_at < job.published_at <= job.started_at
            )

        return bool(self._some(later, 1))

    def claim_copy(self, job: JobRecord) -> bool:
        with self.transaction() as rows:
            current = rows.job(job.id, lock=True)
            if current is None or current.state not in QUEUED:
                return False
            if (current.published_at, current.copies) != (job.published_at, job.copies):
                return False
            rows.update_job(current, current.evolve(published_at=rows.now(), copies=current.copies + 1))
            return True

    def expired_jobs(self, limit: int) -> Sequence[JobRecord]:
        now = self.now()
        waiting = QUEUED | {JobState.WAITING}
        return self._some(
            lambda job: job.state in waiting and job.expires_at is not None and job.expires_at < now, limit
        )

    def acquire_lease(self, name: str, holder: str, seconds: float) -> bool:
        now = self.now()

        def acquire(tables: Tables) -> bool:
            held = tables.leases.get(name)
            if held is not None and held[0] != holder and held[1] > now:
                return False
            tables.leases[name] = (holder, now + timedelta(seconds=seconds))
            return True

        return self._read(acquire)

    def release_lease(self, name: str, holder: str) -> None:
        def release(tables: Tables) -> None:
            if tables.leases.get(name, ("",))[0] == holder:
                del tables.leases[name]

        self._read(release)

    def prune_jobs(
        self,
        state: JobState,
        finished_before: datetime,
        limit: int,
        *,
        tasks: Sequence[str] | None = None,
        without_tasks: Sequence[str] = (),
    ) -> int:
        def wanted(job: JobRecord) -> bool:
            named = tasks is None or job.task in tasks
            return job.state is state and named and job.task not in without_tasks

        return self._read(lambda tables: pruning.prune_jobs(tables, finished_before, limit, wanted))

    def prune_groups(self, completed_before: datetime, limit: int) -> int:
        return self._read(lambda tables: pruning.prune_groups(tables, completed_before, limit))

    def prune_workers(self, gone_before: datetime, limit: int) -> int:
        return self._read(lambda tables: pruning.prune_workers(tables, gone_before, limit))

    def counts(self) -> Mapping[JobState, int]:
        return self._read(lambda tables: _count(job.state for job in tables.jobs.values()))

    def group_counts(self) -> Mapping[GroupState, int]:
        return self._read(lambda tables: _count(group.state for group in tables.groups.values()))

    def event_counts(self) -> EventCounts:
        def count(tables: Tables) -> EventCounts:
            return EventCounts(
                pending=sum(event.is_pending for event in tables.events.values()),
                undeliverable=sum(event.undeliverable for event in tables.events.values()),
            )

        return self._read(count)

    # -- the doctor --------------------------------------------------------------------------------

    def faults(self, cursor: str | None = None) -> FaultPage:  # noqa: ARG002 - one part holds all
        now = self.now()

        def look(tables: Tables) -> FaultPage:
            return FaultPage(faults=tuple(faults.find(tables, now)), examined=len(tables.jobs))

        return self._read(look)

    def _mend_own(self, rows: Rows, fault: Fault) -> bool:
        return faults.remove_orphan(cast("MemoryRows", rows), self._tables, fault)

    def fillers(self, group_id: str) -> Mapping[str, datetime]:
        def read(tables: Tables) -> dict[str, datetime]:
            return {token: until for (of, token), until in tables.fillers.items() if of == group_id}

        return self._read(read)

    def _some(self, wanted: Callable[[JobRecord], bool], limit: int | None) -> list[JobRecord]:
        return self._read(lambda tables: list(islice(filter(wanted, tables.jobs.values()), limit)))


def _is_overdue(job: JobRecord, published_before: datetime) -> bool:
    return job.state in QUEUED and job.published_at is not None and _due_at(job) < published_before


def _due_at(job: JobRecord) -> datetime:
    return max(filter(None, (job.published_at, job.eta)))


def _appeared(job: JobRecord) -> datetime:
    found = job.enqueued_at or job.started_at or job.finished_at
    assert found is not None
    return found


def _count(states: Iterable[S]) -> dict[S, int]:
    counted: dict[S, int] = {}
    for state in states:
        counted[state] = counted.get(state, 0) + 1
    return counted


def _seq_of(cursor: str) -> int:
    if cursor.isascii() and cursor.isdigit():
        return int(cursor[:20])
    raise InvalidPayload(f"{cursor[:40]!r} is no cursor: hand on the one that a page came with")


def _page(
    table: Mapping[str, Any],
    seqs: Mapping[str, int],
    matches: Callable[[Any], bool],
    query: JobQuery | GroupQuery,
) -> Page:
    before = None if query.cursor is None else _seq_of(query.cursor)
    newest = sorted(table.values(), key=lambda row: -seqs[row.id])
    found = [row for row in newest if (before is None or seqs[row.id] < before) and matches(row)]
    items = found[: query.limit]
    return Page(items=tuple(items), cursor=str(seqs[items[-1].id]) if len(found) > len(items) else None)
