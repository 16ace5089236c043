"""Rows over one SQL transaction."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert

from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.lock import new_lock, taken_and_waiting
from celery_jobtrack.model.state import FINAL, EventKind, JobState
from celery_jobtrack.strategies.row.rows import Conflict
from celery_jobtrack.strategies.sql.driver import DriverConnection
from celery_jobtrack.strategies.sql.pauses import COUNTED_AS, PauseChanges, pauses_in
from celery_jobtrack.strategies.sql.schema import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select, Table

    from celery_jobtrack.model.event import Cause
    from celery_jobtrack.model.group import GroupRecord, Pauses
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.strategies.sql.clock import Clock
    from celery_jobtrack.strategies.sql.plain_statements import PlainStatement
    from celery_jobtrack.strategies.sql.schema import Schema
    from celery_jobtrack.strategies.sql.statements import Statements


class SqlRows:
    """One open transaction at READ COMMITTED (on SQLite: the only one that writes).

    Statements see what was committed before each of them began, so what must hold to the end is read
    with ``lock`` first. Driver errors leave through the store's ``transaction``, which says what they
    mean.
    """

    def __init__(self, connection: Connection, schema: Schema, statements: Statements, clock: Clock) -> None:
        self._connection = connection
        self.namespace = schema.namespace
        self._driver = DriverConnection(connection, statements.compiled)
        self._schema = schema
        self._sql = statements
        self._maps = statements.maps
        self._clock = clock
        self._now: datetime | None = None
        self._pauses = PauseChanges()

    @property
    def connection(self) -> Connection:
        """For statements that are not executed here; they see what was written before."""
        self._driver.catch_up()
        return self._connection

    def finish(self) -> None:
        """Write what is written last, before the transaction is committed."""
        changes, self._pauses = self._pauses, PauseChanges()
        for change in changes:
            self._driver.leave(self._sql.add_pauses, change)
        self._driver.catch_up()

    def execute(self, statement: PlainStatement, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The first row of a statement in the database's own words, or None."""
        return self._driver.numbered(statement.text, [values[name] for name in statement.names])

    def now(self) -> datetime:
        if self._now is None:
            row = None if self._sql.clock is None else self._one(self._sql.clock)
            self._now = self._clock.moment(None if row is None else row[0])
        return self._now

    def job(self, job_id: str, *, lock: bool) -> JobRecord | None:
        row = self._one(self._sql.locked_job if lock else self._sql.job, of_id=job_id)
        if row is None:
            return None
        if lock:
            self._take_clock(row)
        return self._maps.job.load(row)

    def insert_job(self, job: JobRecord, message: bytes | None) -> None:
        values = self._maps.job.dump(job)
        values["message"] = message
        self._driver.leave(self._sql.insert_job, values)
        self._pauses.moved(None, job)
        self._file_under(job.id, job.tags)

    def jobs_of(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        parameters = {"of_ids": sorted(set(job_ids))}
        rows = self.connection.execute(self._sql.locked_jobs, parameters).all()
        return {job.id: job for job in map(self._maps.job.load, rows)}

    def insert_jobs(self, jobs: Sequence[tuple[JobRecord, bytes | None]]) -> None:
        if jobs:
            values = [{**self._maps.job.dump(job), "message": message} for job, message in jobs]
            self.connection.execute(insert(self._schema.jobs), values)
            for job, _ in jobs:
                self._pauses.moved(None, job)
        self._file_all({job.id: job.tags for job, _ in jobs if job.tags})

    def update_job(self, before: JobRecord, after: JobRecord) -> None:
        changes = self._maps.job.changes(before, after)
        if after.state is JobState.SUCCESS and before.state is not JobState.SUCCESS:
            changes["message"] = None
        self._update(self._schema.jobs, before.id, changes)
        self._pauses.moved(before, after)
        if "tags" in changes:
            self._file_under(before.id, (tag for tag in after.tags if tag not in before.tags))

    def set_message(self, job_id: str, message: bytes) -> None:
        self._driver.leave(self._sql.set_message, {"of_id": job_id, "message": message})

    def set_result(self, job_id: str, result: bytes | None) -> None:
        self._driver.leave(self._sql.set_result, {"of_id": job_id, "result": result})

    def delete_job(self, job: JobRecord) -> None:
        jobs, attempts, tags = self._schema.jobs, self._schema.attempts, self._schema.tags
        connection = self.connection
        if job.tags:
            ((_, seq),) = connection.execute(self._sql.seqs, {"of_ids": [job.id]}).all()
            connection.execute(delete(tags).where(tags.c.seq == seq))
        if job.attempts:
            connection.execute(delete(attempts).where(attempts.c.job_id == job.id))
        connection.execute(delete(jobs).where(jobs.c.id == job.id))

    def attempt(self, token: str) -> Attempt | None:
        row = self._one(self._sql.attempt, of_token=token)
        return None if row is None else self._maps.attempt.load(row)

    def insert_attempt(self, attempt: Attempt) -> None:
        self._driver.leave(self._sql.insert_attempt, self._maps.attempt.dump(attempt))

    def update_attempt(self, before: Attempt, after: Attempt) -> None:
        self._update(self._schema.attempts, before.token, self._maps.attempt.changes(before, after))

    def group(self, group_id: str, *, lock: bool) -> GroupRecord | None:
        row = self._one(self._sql.locked_group if lock else self._sql.group, of_id=group_id)
        if row is None:
            return None
        if lock:
            self._take_clock(row)
        found: GroupRecord = self._maps.group.load(row)
        if lock and row[len(self._maps.group.columns)]:
            return self._gathered(found)
        return found

    def _gathered(self, group: GroupRecord) -> GroupRecord:
        """A locked group with all that was tallied."""
        assert self._sql.gather_tallies is not None
        ended = self.execute(self._sql.gather_tallies, {"group_id": group.id})
        assert ended is not None
        return group.evolve(totals=replace(group.totals, **dict(zip(ENDED, ended, strict=True))))

    def insert_group(self, group: GroupRecord) -> None:
        self._driver.leave(self._sql.insert_group, self._maps.group.dump(group))

    def update_group(self, before: GroupRecord, after: GroupRecord) -> None:
        self._update(self._schema.groups, before.id, self._maps.group.changes(before, after))
        if after.base_generation != before.base_generation:
            earlier = {"of_group_id": after.id, "of_generation": after.base_generation}
            self._driver.leave(self._sql.drop_pauses, earlier)

    def group_id_of_key(self, key: str) -> str | None:
        row = self._one(self._sql.group_id_of_key, of_key=key)
        return None if row is None else str(row[0])

    def count_members(self, group_id: str, first: int, last: int) -> Totals:
        totals = Totals()
        counted = self._driver.all(
            self._sql.count_members, {"of_group_id": group_id, "first": first, "last": last}
        )
        for state, count in counted:
            totals = totals.plus(Totals(total=count))
            if state in FINAL:
                totals = totals.counting(state, by=count)
        return totals

    def lock(self, key: str) -> LockRecord:
        found = self._locked_lock(key)
        if found is None:
            # Of two who find none, one waits for the other's row, which is there then.
            self._driver.write(self._sql.make_lock, self._maps.lock.dump(new_lock(key, self.now())))
            found = self._locked_lock(key)
        if found is None:
            raise Conflict(f"the lock {key!r} was pruned meanwhile")
        return found

    def _locked_lock(self, key: str) -> LockRecord | None:
        row = self._one(self._sql.locked_lock, of_key=key)
        return None if row is None else self._maps.lock.load(row)

    def update_lock(self, before: LockRecord, after: LockRecord) -> None:
        self._update(self._schema.locks, before.key, self._maps.lock.changes(before, after))

    def place(self, key: str, job_id: str) -> Place | None:
        row = self._one(self._sql.place, of_key=key, of_job_id=job_id)
        return None if row is None else self._maps.place.load(row)

    def places_of(self, job_id: str) -> Sequence[Place]:
        return self._places(self._sql.places_of, of_job_id=job_id)

    def put_place(self, place: Place) -> None:
        self._driver.write(self._sql.put_place, self._maps.place.dump(place))

    def drop_place(self, place: Place) -> None:
        self._driver.write(self._sql.drop_place, {"of_key": place.key, "of_job_id": place.job_id})

    def taken_places(self, key: str) -> Sequence[Place]:
        return self._places(self._sql.taken_places, of_key=key)

    def line(self, key: str) -> Sequence[Place]:
        return self._places(self._sql.line, of_key=key)

    def first_in_line(self, key: str) -> Place | None:
        row = self._one(self._sql.first_in_line, of_key=key)
        return None if row is None else self._maps.place.load(row)

    def count_places(self, key: str) -> tuple[int, int]:
        counted = dict(self._driver.all(self._sql.count_places, {"of_key": key}))
        return taken_and_waiting(counted)

    def _places(self, statement: Select[Any], **parameters: Any) -> list[Place]:
        return [self._maps.place.load(row) for row in self._driver.all(statement, parameters)]

    def recount_pauses(self, group: GroupRecord) -> tuple[Pauses, Pauses] | None:
        members = {"of_group_id": group.id, "first": group.base_generation, "last": group.generation}
        row = self._one(self._sql.compared_pauses, **members)
        assert row is not None
        kept, right = pauses_in(row[:2]), pauses_in(row[2:])
        if kept == right:
            return None
        missing = {name: getattr(right, name) - getattr(kept, name) for name in COUNTED_AS.values()}
        self._pauses.add(group.id, group.generation, **missing)
        return kept, right

    def is_filling(self, group_id: str) -> bool:
        found = self._one(self._sql.is_filling, of_group_id=group_id, now=self.now())
        return found is not None and bool(found[0])

    def hold(self, group_id: str, token: str, until: datetime) -> None:
        # The caller holds the group's row, so no one inserts between the two statements.
        key = {"of_group_id": group_id, "of_token": token}
        if not self._driver.write(self._sql.renew_hold, {**key, "until": until}):
            values = {"group_id": group_id, "token": token, "until": until}
            self._driver.leave(self._sql.insert_hold, values)

    def let_go(self, group_id: str, token: str, *, and_of_dead: bool) -> None:
        parameters = {"of_group_id": group_id, "of_token": token}
        if and_of_dead:
            self._driver.leave(self._sql.let_go_of_dead, {**parameters, "now": self.now()})
        else:
            self._driver.leave(self._sql.let_go, parameters)

    def add_event(self, cause: Cause, group: GroupRecord) -> None:
        # What has run again may reach a step again, and fail after its dispatch did. The others come once.
        may_be_there = cause.kind in {EventKind.FAILED, EventKind.PROGRESSED}
        if may_be_there and self.has_event(cause, group):
            return
        event = EventRecord(
            id=str(uuid.uuid4()),
            kind=cause.kind,
            step=cause.step,
            outcome=cause.outcome,
            job_id=cause.job_id,
            group_id=group.id,
            generation=group.generation,
            seq=0,
            created_at=self.now(),
        )
        values = self._maps.event.dump(event)
        # The database numbers it; the group's lock keeps the numbers of one group in order.
        del values["seq"]
        self._driver.leave(self._sql.insert_event, values)

    def has_event(self, cause: Cause, group: GroupRecord) -> bool:
        about = {
            "of_group_id": group.id,
            "of_generation": group.generation,
            "of_kind": cause.kind,
            "of_step": cause.step,
        }
        return self._one(self._sql.event_of_step, **about) is not None

    def event(self, event_id: str) -> EventRecord | None:
        row = self._one(self._sql.event, of_id=event_id)
        return None if row is None else self._maps.event.load(row)

    def update_event(self, before: EventRecord, after: EventRecord) -> None:
        self._update(self._schema.events, before.id, self._maps.event.changes(before, after))

    def first_pending_event(self, group_id: str) -> EventRecord | None:
        row = self._one(self._sql.first_pending_event, of_group_id=group_id)
        return None if row is None else self._maps.event.load(row)

    def groups_with_pending_events(self, limit: int) -> Sequence[str]:
        parameters = {"limit": limit, **self._clock.parameters()}
        return [row[0] for row in self._driver.all(self._sql.groups_with_pending_events, parameters)]

    def _file_under(self, job_id: str, tags: Iterable[str]) -> None:
        for tag in dict.fromkeys(tags):
            self._driver.leave(self._sql.insert_tag, {"of_id": job_id, "tag": tag})

    def _file_all(self, tags: Mapping[str, Sequence[str]]) -> None:
        """File jobs that were just inserted under their tags."""
        if tags:
            rows = self.connection.execute(self._sql.seqs, {"of_ids": list(tags)}).all()
            labels = [{"seq": seq, "tag": tag} for job_id, seq in rows for tag in dict.fromkeys(tags[job_id])]
            self.connection.execute(self._sql.insert_tags, labels)

    def _one(self, statement: Select[Any], **parameters: Any) -> Sequence[Any] | None:
        return self._driver.one(statement, parameters)

    def _update(self, table: Table, identity: str, changes: dict[str, Any]) -> None:
        if changes:
            changes["of_it"] = identity
            statement = self._sql.update(table, [name for name in changes if name != "of_it"])
            self._driver.leave(statement, changes)

    def _take_clock(self, row: Sequence[Any]) -> None:
        if self._now is None:
            self._now = self._clock.moment(None if self._sql.clock is None else row[-1])
