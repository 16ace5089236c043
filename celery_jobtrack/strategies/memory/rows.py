"""The rows of the memory store: dictionaries, and a transaction that can take its writes back."""

from __future__ import annotations

import uuid
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.lock import Standing, new_lock
from celery_jobtrack.model.state import FINAL, JobState
from celery_jobtrack.strategies.row.rows import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.event import Cause
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.model.requests import WorkerRecord


class Tables:
    """What the store holds; jobs, groups and events are numbered in the order of their writing."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.messages: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self.attempts: dict[str, Attempt] = {}
        self.groups: dict[str, GroupRecord] = {}
        self.keys: dict[str, str] = {}
        self.fillers: dict[tuple[str, str], datetime] = {}
        self.events: dict[str, EventRecord] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.locks: dict[str, LockRecord] = {}
        self.places: dict[tuple[str, str], Place] = {}
        self.leases: dict[str, tuple[str, datetime]] = {}
        self.numbers = count(1)
        self.last_look: datetime | None = None
        self.paused_until: datetime | None = None
        self.job_seqs: dict[str, int] = {}
        self.group_seqs: dict[str, int] = {}


class MemoryRows:
    """One transaction: writes go into the tables at once, and are taken back if it fails."""

    def __init__(self, tables: Tables, now: datetime, namespace: str = "default") -> None:
        self.namespace = namespace
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
        self._insert(self._tables.job_seqs, job.id, next(self._tables.numbers))
        if message is not None:
            self._put(self._tables.messages, job.id, message)

    def jobs_of(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        return {job_id: self._tables.jobs[job_id] for job_id in job_ids if job_id in self._tables.jobs}

    def insert_jobs(self, jobs: Sequence[tuple[JobRecord, bytes | None]]) -> None:
        for job, message in jobs:
            self.insert_job(job, message)

    def update_job(self, before: JobRecord, after: JobRecord) -> None:
        self._put(self._tables.jobs, before.id, after)
        if after.state is JobState.SUCCESS:
            self._drop(self._tables.messages, before.id)

    def set_message(self, job_id: str, message: bytes) -> None:
        self._put(self._tables.messages, job_id, message)

    def set_result(self, job_id: str, result: bytes | None) -> None:
        if result is None:
            self._drop(self._tables.results, job_id)
        else:
            self._put(self._tables.results, job_id, result)

    def delete_job(self, job: JobRecord) -> None:
        tables = self._tables
        for table in (tables.jobs, tables.job_seqs, tables.messages, tables.results):
            self._drop(table, job.id)
        for token in [attempt.token for attempt in tables.attempts.values() if attempt.job_id == job.id]:
            self._drop(tables.attempts, token)

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
        self._insert(self._tables.group_seqs, group.id, next(self._tables.numbers))
        if group.key is not None:
            self._insert(self._tables.keys, group.key, group.id)

    def update_group(self, before: GroupRecord, after: GroupRecord) -> None:
        self._put(self._tables.groups, before.id, after)

    def group_id_of_key(self, key: str) -> str | None:
        return self._tables.keys.get(key)

    def members(self, group_id: str, first: int, last: int) -> Iterator[JobRecord]:
        for job in self._tables.jobs.values():
            if job.group_id == group_id and job.generation is not None and first <= job.generation <= last:
                yield job

    def count_members(self, group_id: str, first: int, last: int) -> Totals:
        totals = Totals()
        for job in self.members(group_id, first, last):
            totals = totals.plus(Totals(total=1))
            if job.state in FINAL:
                totals = totals.counting(job.state)
        return totals

    def lock(self, key: str) -> LockRecord:
        found = self._tables.locks.get(key)
        if found is None:
            found = new_lock(key, self._now)
            self._put(self._tables.locks, key, found)
        return found

    def update_lock(self, before: LockRecord, after: LockRecord) -> None:
        self._put(self._tables.locks, before.key, after)

    def place(self, key: str, job_id: str) -> Place | None:
        return self._tables.places.get((key, job_id))

    def places_of(self, job_id: str) -> Sequence[Place]:
        return [place for (_, of), place in self._tables.places.items() if of == job_id]

    def put_place(self, place: Place) -> None:
        self._put(self._tables.places, (place.key, place.job_id), place)

    def drop_place(self, place: Place) -> None:
        self._drop(self._tables.places, (place.key, place.job_id))

    def taken_places(self, key: str) -> Sequence[Place]:
        taken = (place for place in self._tables.places.values() if place.key == key and place.takes)
        return sorted(taken, key=lambda place: (place.since, place.job_id))

    def line(self, key: str) -> Sequence[Place]:
        places = self._tables.places.values()
        waiting = (place for place in places if place.key == key and place.standing is Standing.WAITING)
        return sorted(waiting, key=lambda place: place.order)

    def first_in_line(self, key: str) -> Place | None:
        return next(iter(self.line(key)), None)

    def count_places(self, key: str) -> tuple[int, int]:
        return len(self.taken_places(key)), len(self.line(key))

    def recount_pauses(self, group: GroupRecord) -> None:
        """They are counted whenever they are asked for."""

    def is_filling(self, group_id: str) -> bool:
        return any(of == group_id and until > self._now for (of, _), until in self._tables.fillers.items())

    def hold(self, group_id: str, token: str, until: datetime) -> None:
        self._put(self._tables.fillers, (group_id, token), until)

    def let_go(self, group_id: str, token: str, *, and_of_dead: bool) -> None:
        now = self.now()
        dead = [key for key, until in self._tables.fillers.items() if key[0] == group_id and until <= now]
        for key in {(group_id, token), *(dead if and_of_dead else ())}:
            self._drop(self._tables.fillers, key)

    def add_event(self, cause: Cause, group: GroupRecord) -> None:
        if self.has_event(cause, group):
            return
        seq = next(self._tables.numbers)
        event = EventRecord(
            id=str(uuid.uuid4()),
            kind=cause.kind,
            group_id=group.id,
            generation=group.generation,
            step=cause.step,
            outcome=cause.outcome,
            job_id=cause.job_id,
            seq=seq,
            created_at=self._now,
        )
        self._insert(self._tables.events, event.id, event)

    def has_event(self, cause: Cause, group: GroupRecord) -> bool:
        return any(
            (event.group_id, event.generation, event.kind, event.step)
            == (group.id, group.generation, cause.kind, cause.step)
            for event in self._tables.events.values()
        )

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

    def drop(self, table: dict[Any, Any], key: Any) -> None:
        """Delete a row, if it is there."""
        self._drop(table, key)

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
