"""A store in the memory of one process: for tests, eager apps and the ``memory://`` broker."""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.event import EventCounts, EventRecord
from celery_jobtrack.model.group import Totals, describe_status
from celery_jobtrack.model.requests import Page, WorkerRecord
from celery_jobtrack.model.state import FINAL, QUEUED, GroupState, JobState
from celery_jobtrack.strategies.row.rows import Conflict
from celery_jobtrack.strategies.row.store import RowStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import GroupQuery, JobQuery, Worker
    from celery_jobtrack.model.state import EventKind

S = TypeVar("S", JobState, GroupState)
T = TypeVar("T")


class MemoryStore(RowStore):
    """Everything in dictionaries under one lock. It ends with its process, and no other sees it.

    Args:
        clock: Gives the time in seconds since 1970; by default the machine's clock.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.RLock()
        self._tables = _Tables()

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
    def transaction(self) -> Iterator[_MemoryRows]:
        with self._lock:
            rows = _MemoryRows(self._tables, self.now())
            try:
                yield rows
            except BaseException:
                rows.undo()
                raise

    def _read(self, read: Callable[[_Tables], T]) -> T:
        with self._lock:
            return read(self._tables)

    # -- answers -------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobRecord | None:
        return self._read(lambda tables: tables.jobs.get(job_id))

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        return self._read(lambda tables: [a for a in tables.attempts.values() if a.job_id == job_id])

    def message(self, job_id: str) -> bytes | None:
        return self._read(lambda tables: tables.messages.get(job_id))

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
            live = _count(job.state for job in rows.members(group_id, group.generation))
            return describe_status(group, live, filling=rows.is_filling(group_id), now=rows.now())

    def due_groups(self, limit: int) -> Sequence[str]:
        now = self.now()

        def read(tables: _Tables) -> list[str]:
            due = [(g.next_check_at, g.id) for g in tables.groups.values() if g.next_check_at is not None]
            return [group_id for at, group_id in sorted(due) if at <= now][:limit]

        return self._read(read)

    def queued_members(self, group_id: str, limit: int) -> Sequence[JobRecord]:
        waiting = QUEUED | {JobState.WAITING}
        return self._some(lambda job: job.group_id == group_id and job.state in waiting, limit)

    def cancelled_groups(self, limit: int) -> Sequence[str]:
        def read(tables: _Tables) -> list[str]:
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

        def renew(tables: _Tables) -> bool:
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

        def stop(tables: _Tables) -> None:
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

        def lost(tables: _Tables) -> list[Attempt]:
            alive = {w.id for w in tables.workers.values() if w.is_alive(now)}
            found = (a for a in tables.attempts.values() if a.is_open and a.worker_id not in alive)
            return list(islice(found, limit))

        return self._read(lost)

    # -- upkeep ----------------------------------------------------------------------------------

    def overdue_jobs(self, published_before: datetime, limit: int) -> Sequence[JobRecord]:
        def overdue(job: JobRecord) -> bool:
            return (
                job.state in QUEUED
                and job.published_at is not None
                and job.published_at < published_before
                and (job.eta is None or job.eta < published_before)
            )

        return self._some(overdue, limit)

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

        def acquire(tables: _Tables) -> bool:
            held = tables.leases.get(name)
            if held is not None and held[0] != holder and held[1] > now:
                return False
            tables.leases[name] = (holder, now + timedelta(seconds=seconds))
            return True

        return self._read(acquire)

    def release_lease(self, name: str, holder: str) -> None:
        def release(tables: _Tables) -> None:
            if tables.leases.get(name, ("",))[0] == holder:
                del tables.leases[name]

        self._read(release)

    def counts(self) -> Mapping[JobState, int]:
        return self._read(lambda tables: _count(job.state for job in tables.jobs.values()))

    def group_counts(self) -> Mapping[GroupState, int]:
        return self._read(lambda tables: _count(group.state for group in tables.groups.values()))

    def event_counts(self) -> EventCounts:
        def count(tables: _Tables) -> EventCounts:
            return EventCounts(
                pending=sum(event.is_pending for event in tables.events.values()),
                undeliverable=sum(event.undeliverable for event in tables.events.values()),
            )

        return self._read(count)

    def _some(self, wanted: Callable[[JobRecord], bool], limit: int) -> list[JobRecord]:
        return self._read(lambda tables: list(islice(filter(wanted, tables.jobs.values()), limit)))


class _Tables:
    """What the store holds; jobs and groups are numbered in the order of their writing."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.messages: dict[str, bytes] = {}
        self.attempts: dict[str, Attempt] = {}
        self.groups: dict[str, GroupRecord] = {}
        self.keys: dict[str, str] = {}
        self.fillers: dict[tuple[str, str], datetime] = {}
        self.events: dict[str, EventRecord] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.leases: dict[str, tuple[str, datetime]] = {}
        self.job_seqs: dict[str, int] = {}
        self.group_seqs: dict[str, int] = {}


class _MemoryRows:
    """One transaction: writes go into the tables at once, and are taken back if it fails."""

    def __init__(self, tables: _Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now
        self._undo: list[Callable[[], Any]] = []

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()

    def now(self) -> datetime:
        return self._now

    def job(self, job_id: str, *, lock: bool) -> JobRecord | None:  # noqa: ARG002 - one lock holds all
        return self._tables.jobs.get(job_id)

    def insert_job(self, job: JobRecord, message: bytes | None) -> None:
        self._insert(self._tables.jobs, job.id, job)
        self._insert(self._tables.job_seqs, job.id, len(self._tables.job_seqs) + 1)
        if message is not None:
            self._put(self._tables.messages, job.id, message)

    def update_job(self, before: JobRecord, after: JobRecord) -> None:
        self._put(self._tables.jobs, before.id, after)
        if after.state is JobState.SUCCESS:
            self._drop(self._tables.messages, before.id)

    def set_message(self, job_id: str, message: bytes) -> None:
        self._put(self._tables.messages, job_id, message)

    def attempt(self, token: str) -> Attempt | None:
        return self._tables.attempts.get(token)

    def insert_attempt(self, attempt: Attempt) -> None:
        self._insert(self._tables.attempts, attempt.token, attempt)

    def update_attempt(self, before: Attempt, after: Attempt) -> None:
        self._put(self._tables.attempts, before.token, after)

    def group(self, group_id: str, *, lock: bool) -> GroupRecord | None:  # noqa: ARG002
        return self._tables.groups.get(group_id)

    def insert_group(self, group: GroupRecord) -> None:
        self._insert(self._tables.groups, group.id, group)
        self._insert(self._tables.group_seqs, group.id, len(self._tables.group_seqs) + 1)
        if group.key is not None:
            self._insert(self._tables.keys, group.key, group.id)

    def update_group(self, before: GroupRecord, after: GroupRecord) -> None:
        self._put(self._tables.groups, before.id, after)

    def group_id_of_key(self, key: str) -> str | None:
        return self._tables.keys.get(key)

    def members(self, group_id: str, generation: int) -> Iterator[JobRecord]:
        for job in self._tables.jobs.values():
            if job.group_id == group_id and job.generation == generation:
                yield job

    def count_members(self, group_id: str, generation: int) -> Totals:
        totals = Totals()
        for job in self.members(group_id, generation):
            totals = totals.plus(Totals(total=1))
            if job.state in FINAL:
                totals = totals.counting(job.state)
        return totals

    def is_filling(self, group_id: str) -> bool:
        return any(of == group_id and until > self._now for (of, _), until in self._tables.fillers.items())

    def hold(self, group_id: str, token: str, until: datetime) -> None:
        self._put(self._tables.fillers, (group_id, token), until)

    def let_go(self, group_id: str, token: str) -> None:
        self._drop(self._tables.fillers, (group_id, token))

    def add_event(self, kind: EventKind, group: GroupRecord) -> None:
        seq = len(self._tables.events) + 1
        event = EventRecord(
            id=str(uuid.uuid4()),
            kind=kind,
            group_id=group.id,
            generation=group.generation,
            seq=seq,
            created_at=self._now,
        )
        self._insert(self._tables.events, event.id, event)

    def event(self, event_id: str) -> EventRecord | None:
        return self._tables.events.get(event_id)

    def update_event(self, before: EventRecord, after: EventRecord) -> None:
        self._put(self._tables.events, before.id, after)

    def first_pending_event(self, group_id: str) -> EventRecord | None:
        pending = (e for e in self._tables.events.values() if e.group_id == group_id and e.is_pending)
        return min(pending, key=lambda event: event.seq, default=None)

    def groups_with_pending_events(self, limit: int) -> Sequence[str]:
        first: dict[str, EventRecord] = {}
        for event in sorted(self._tables.events.values(), key=lambda event: event.seq):
            if event.is_pending:
                first.setdefault(event.group_id, event)
        due = (e.group_id for e in first.values() if e.claimed_until is None or e.claimed_until <= self._now)
        return list(islice(due, limit))

    def _insert(self, table: dict[Any, Any], key: Any, row: Any) -> None:
        if key in table:
            raise Conflict(f"{key!r} is there already")
        self._put(table, key, row)

    def _put(self, table: dict[Any, Any], key: Any, row: Any) -> None:
        if key in table:
            old = table[key]
            self._undo.append(lambda: table.__setitem__(key, old))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = row

    def _drop(self, table: dict[Any, Any], key: Any) -> None:
        if key in table:
            old = table.pop(key)
            self._undo.append(lambda: table.__setitem__(key, old))


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
