"""Looks through the tables for what does not fit together, and mends what only tables have.

Each table is looked through in parts, by the numbers of its rows. A part is read at one moment, and a
transition is a transaction: one that is being made is seen wholly or not at all, and holds up nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model import diagnosis, lock_diagnosis
from celery_jobtrack.model.fault import Fault, FaultKind, FaultPage
from celery_jobtrack.model.group import GROUP_TASK, Totals
from celery_jobtrack.model.state import FINAL, EventKind, JobState
from celery_jobtrack.strategies.sql import lock_faults
from celery_jobtrack.strategies.sql.group_queries import GroupQueries
from celery_jobtrack.strategies.sql.pauses import counted_pauses, kept_pauses, pauses_in
from celery_jobtrack.strategies.sql.statements import in_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select, Table

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord, Pauses
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.strategies.row.rows import Rows
    from celery_jobtrack.strategies.sql.records import RecordMap
    from celery_jobtrack.strategies.sql.rows import SqlRows

    Look = Callable[["_Part"], Iterator[Fault]]

PARTS = {
    "jobs": 500,
    "attempts": 2000,
    "tags": 2000,
    "groups": 20,
    "events": 500,
    "fillers": 500,
    "pauses": 500,
    "locks": 500,
    "places": 1000,
}
"""How many rows of a table are looked at in one go, in this order."""


class _Part:
    """Some rows of one table, at one moment."""

    def __init__(self, connection: Connection, table: Table, after: int, last: int, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self.rows: list[ColumnElement[bool]] = []
        if "seq" in table.c:
            self.rows = [table.c.seq > after, table.c.seq <= last]

    def all(self, statement: Select[Any]) -> Sequence[Sequence[Any]]:
        return self.connection.execute(statement).all()


class Faults(GroupQueries):
    """The doctor's questions, and the repairs that no transition makes."""

    def faults(self, cursor: str | None = None) -> FaultPage:
        looks: Mapping[str, Look] = {
            "jobs": self._in_jobs,
            "attempts": self._in_attempts,
            "tags": self._in_tags,
            "groups": self._in_groups,
            "events": self._in_events,
            "fillers": self._in_fillers,
            "pauses": self._in_pauses,
        }
        name, _, number = ("jobs:0" if cursor is None else cursor).partition(":")
        if name in lock_faults.LOOKS:
            return self._look_at_locks(name, number)
        if name not in looks or not (number.isascii() and number.isdigit()):
            raise InvalidPayload(f"{str(cursor)[:40]!r} is no cursor: hand on the one that a page came with")
        table, after = getattr(self._schema, name), int(number[:19])
        next_table = _after(name)

        def look(connection: Connection) -> FaultPage:
            last, examined = _end_of_part(connection, table, after, PARTS[name])
            if not examined:
                return FaultPage(cursor=next_table)
            now = self._clock.moment(None if self._sql.clock is None else connection.scalar(self._sql.clock))
            found = tuple(looks[name](_Part(connection, table, after, last, now)))
            return FaultPage(faults=found, cursor=f"{name}:{last}" if last else next_table, examined=examined)

        return self._look(look)

    def _look_at_locks(self, name: str, cursor: str) -> FaultPage:
        """Part of a table whose rows are numbered by their keys."""
        after, size = lock_faults.load_cursor(cursor), PARTS[name]

        def look(connection: Connection) -> FaultPage:
            found = lock_faults.LOOKS[name](
                lock_faults.Asked(
                    connection=connection, schema=self._schema, maps=self._sql.maps, after=after, size=size
                )
            )
            following = f"{name}:{lock_faults.dump_cursor(found.last)}" if found.last else _after(name)
            return FaultPage(faults=found.faults, cursor=following, examined=found.examined)

        return self._look(look)

    def fillers(self, group_id: str) -> Mapping[str, datetime]:
        fillers = self._schema.fillers
        statement = select(fillers.c.token, fillers.c.until).where(fillers.c.group_id == group_id)
        rows = self._answer(lambda connection: connection.execute(statement).all())
        return {row[0]: row[1] for row in rows}

    # -- what is looked at ---------------------------------------------------------------------------

    def _in_jobs(self, part: _Part) -> Iterator[Fault]:
        schema, maps = self._schema, self._sql.maps
        jobs, groups = schema.jobs, schema.groups
        has_group = exists().where(groups.c.id == jobs.c.group_id)
        stands = and_(jobs.c.task == GROUP_TASK, ~exists().where(groups.c.id == jobs.c.id))
        waits = and_(in_states(jobs.c.state, [JobState.WAITING]), jobs.c.waits_for.is_not(None))
        in_line = exists().where(schema.places.c.key == jobs.c.waits_for, schema.places.c.job_id == jobs.c.id)
        asked = has_group, stands, and_(waits, ~in_line)
        statement = select(*_columns(maps.job, jobs), jobs.c.seq, *asked).where(*part.rows)
        attempts: dict[str, Attempt] = {}
        named = select(*maps.attempt.columns).join_from(
            schema.attempts, jobs, jobs.c.token == schema.attempts.c.token
        )
        for row in part.all(named.where(*part.rows)):
            attempt = maps.attempt.load(row)
            attempts[attempt.token] = attempt
        filed: dict[int, set[str]] = {}
        for seq, tag in part.all(
            select(schema.tags.c.seq, schema.tags.c.tag)
            .join_from(schema.tags, jobs, jobs.c.seq == schema.tags.c.seq)
            .where(*part.rows)
        ):
            filed.setdefault(seq, set()).add(tag)
        for row in part.all(statement):
            job, (seq, in_group, stands_alone, out_of_line) = maps.job.load(row), row[-4:]
            yield from diagnosis.faults_of_attempt(job, attempts.get(job.token or ""))
            yield from _misfiled(maps.job, "jobs", job, row)
            if job.generation is not None and not in_group:
                yield diagnosis.without_group(job)
            if stands_alone and not job.is_final and diagnosis.is_settled_in(part.now, job.enqueued_at):
                yield diagnosis.without_child(job)
            if out_of_line:
                yield lock_diagnosis.out_of_line(job)
            if missing := set(job.tags) - filed.get(seq, set()):
                text = f"job {job.id} is not found by its tags: {', '.join(sorted(missing))}"
                yield Fault(kind=FaultKind.INDEX, subject=job.id, text=text, detail="tags")

    def _in_attempts(self, part: _Part) -> Iterator[Fault]:
        jobs, attempts = self._schema.jobs, self._schema.attempts
        unnamed = or_(jobs.c.token.is_(None), jobs.c.token != attempts.c.token)
        statement = (
            select(attempts.c.token, attempts.c.job_id, jobs.c.state)
            .outerjoin_from(attempts, jobs, jobs.c.id == attempts.c.job_id)
            .where(*part.rows, or_(jobs.c.id.is_(None), and_(attempts.c.outcome.is_(None), unnamed)))
        )
        for token, job_id, state in part.all(statement):
            if state is None:
                yield diagnosis.orphan(f"attempt {token}", token, f"job {job_id}", "attempts")
            else:
                yield diagnosis.attempt_left_open(job_id, token, f"the job is {state} without it")

    def _in_tags(self, part: _Part) -> Iterator[Fault]:
        jobs, tags = self._schema.jobs, self._schema.tags
        jobless = ~exists().where(jobs.c.seq == tags.c.seq)
        for seq, tag in part.all(select(tags.c.seq, tags.c.tag).where(*part.rows, jobless)):
            yield diagnosis.orphan(f"an entry of tag {tag!r}", str(seq), f"job number {seq}", f"tags:{tag}")

    def _in_groups(self, part: _Part) -> Iterator[Fault]:
        schema, maps = self._schema, self._sql.maps
        groups, jobs, fillers, events = schema.groups, schema.jobs, schema.fillers, schema.events
        found: Sequence[Sequence[Any]] = part.all(
            select(*self._sql.group_columns, *(groups.c[name] for name in maps.group.derived_names))
            .select_from(self._sql.groups_from)
            .where(*part.rows)
            .order_by(groups.c.seq)
        )
        totals, pauses = self._counted(part), self._compared_pauses(part)
        held: dict[str, dict[str, datetime]] = {}
        of_part = select(groups.c.id).where(*part.rows)
        for group_id, token, until in part.all(
            select(fillers.c.group_id, fillers.c.token, fillers.c.until).where(
                fillers.c.group_id.in_(of_part)
            )
        ):
            held.setdefault(group_id, {})[token] = until
        told: dict[str, set[EventKind]] = {}
        of_present = and_(events.c.group_id == groups.c.id, events.c.generation == groups.c.generation)
        for group_id, kind in part.all(
            select(groups.c.id, events.c.kind)
            .join_from(groups, events, of_present)
            .where(*part.rows, events.c.step == 0)
        ):
            told.setdefault(group_id, set()).add(kind)
        parents = groups.alias("parents")
        with_open_parent = {
            row[0]
            for row in part.all(
                select(groups.c.id)
                .join_from(groups, parents, parents.c.id == groups.c.parent_id)
                .where(*part.rows, parents.c.completed_at.is_(None))
            )
        }
        standing_for = select(*maps.job.columns).where(jobs.c.id.in_(list(with_open_parent)))
        members: dict[str, JobRecord] = {row[0]: maps.job.load(row) for row in part.all(standing_for)}
        for row in found:
            group: GroupRecord = maps.group.load(row)
            yield from _misfiled(maps.group, "groups", group, row)
            yield from diagnosis.faults_of_group(
                group,
                counted=None if group.is_over else totals.get(group.id, Totals()),
                fillers=held.get(group.id, {}),
                now=part.now,
                told=told.get(group.id, set()),
            )
            if group.id in pauses:
                counted = totals.get(group.id, Totals())
                yield from diagnosis.faults_of_pauses(group, *pauses[group.id], counted=counted)
            yield from diagnosis.faults_of_child(
                group, members.get(group.id), has_open_parent=group.id in with_open_parent, now=part.now
            )

    def _counted(self, part: _Part) -> Mapping[str, Totals]:
        """The members of each group that has not completed, counted from the jobs themselves."""
        groups, jobs = self._schema.groups, self._schema.jobs
        counted = and_(
            jobs.c.group_id == groups.c.id,
            # All states: named, so that the index by group, state and generation serves.
            in_states(jobs.c.state, JobState),
            jobs.c.generation >= groups.c.base_generation,
            jobs.c.generation <= groups.c.generation,
        )
        totals: dict[str, Totals] = {}
        for group_id, state, number in part.all(
            select(groups.c.id, jobs.c.state, func.count())
            .join_from(groups, jobs, counted)
            .where(*part.rows, groups.c.completed_at.is_(None))
            .group_by(groups.c.id, jobs.c.state)
        ):
            counted_so_far = totals.get(group_id, Totals()).plus(Totals(total=number))
            if state in FINAL:
                counted_so_far = counted_so_far.counting(state, by=number)
            totals[group_id] = counted_so_far
        return totals

    def _compared_pauses(self, part: _Part) -> Mapping[str, tuple[Pauses, Pauses]]:
        """Of each group that has not completed: how many members pause as it is kept, and as it is right."""
        groups = self._schema.groups
        members = groups.c.id, groups.c.base_generation, groups.c.generation
        kept, right = kept_pauses(self._schema, *members), counted_pauses(self._schema, *members)
        statement = select(groups.c.id, *kept, *right).where(*part.rows, groups.c.completed_at.is_(None))
        middle = 1 + len(kept)
        return {row[0]: (pauses_in(row[1:middle]), pauses_in(row[middle:])) for row in part.all(statement)}

    def _in_events(self, part: _Part) -> Iterator[Fault]:
        events, groups, event_map = self._schema.events, self._schema.groups, self._sql.maps.event
        has_group = exists().where(groups.c.id == events.c.group_id)
        for row in part.all(select(*_columns(event_map, events), has_group).where(*part.rows)):
            event: EventRecord = event_map.load(row)
            yield from _misfiled(event_map, "events", event, row)
            if not row[-1]:
                of = f"group {event.group_id}"
                yield diagnosis.orphan(f"event {event.id}", event.id, of, "events")
            elif (fault := diagnosis.fault_of_event(event, part.now)) is not None:
                yield fault

    def _in_fillers(self, part: _Part) -> Iterator[Fault]:
        fillers, groups = self._schema.fillers, self._schema.groups
        groupless = ~exists().where(groups.c.id == fillers.c.group_id)
        statement = select(fillers.c.group_id, fillers.c.token).where(groupless).limit(PARTS["fillers"])
        for group_id, token in part.all(statement):
            yield diagnosis.orphan(f"the hold {token}", group_id, f"group {group_id}", f"fillers:{token}")

    def _in_pauses(self, part: _Part) -> Iterator[Fault]:
        pauses, groups = self._schema.pauses, self._schema.groups
        groupless = ~exists().where(groups.c.id == pauses.c.group_id)
        for (group_id,) in part.all(
            select(pauses.c.group_id).where(groupless).distinct().limit(PARTS["pauses"])
        ):
            text = f"what is kept of paused members of {group_id}"
            yield diagnosis.orphan(text, group_id, f"group {group_id}", "pauses")

    # -- what is mended ------------------------------------------------------------------------------

    def _mend_own(self, rows: Rows, fault: Fault) -> bool:
        connection, schema = cast("SqlRows", rows).connection, self._schema
        if fault.kind is FaultKind.INDEX:
            if fault.detail == "tags":
                return self._file_under_tags(rows, connection, fault.subject)
            return self._derive_anew(rows, connection, fault.detail, fault.subject)
        name, _, rest = fault.detail.partition(":")
        tables = {
            "attempts": (
                schema.attempts.c.token == fault.subject,
                schema.attempts.c.job_id,
                schema.jobs.c.id,
            ),
            "tags": (
                and_(schema.tags.c.seq == _number(fault.subject), schema.tags.c.tag == rest),
                schema.tags.c.seq,
                schema.jobs.c.seq,
            ),
            "events": (schema.events.c.id == fault.subject, schema.events.c.group_id, schema.groups.c.id),
            "fillers": (
                and_(schema.fillers.c.group_id == fault.subject, schema.fillers.c.token == rest),
                schema.fillers.c.group_id,
                schema.groups.c.id,
            ),
            "pauses": (
                schema.pauses.c.group_id == fault.subject,
                schema.pauses.c.group_id,
                schema.groups.c.id,
            ),
        }
        which, belongs, to = tables[name]
        # Guarded by what it belongs to still being away.
        orphaned = ~exists().where(to == belongs)
        return bool(connection.execute(delete(getattr(schema, name)).where(which, orphaned)).rowcount)

    def _derive_anew(self, rows: Rows, connection: Connection, name: str, subject: str) -> bool:
        """Under the lock of the job, or of the group, write the derived columns of one row."""
        maps: Mapping[str, RecordMap[Any]] = {
            "jobs": self._sql.maps.job,
            "groups": self._sql.maps.group,
            "events": self._sql.maps.event,
        }
        read: Mapping[str, Callable[[], Any]] = {
            "jobs": lambda: rows.job(subject, lock=True),
            "groups": lambda: rows.group(subject, lock=True),
            "events": lambda: rows.event(subject),
        }
        record = read[name]()
        if name == "events" and record is not None:
            rows.group(record.group_id, lock=True)
            record = read[name]()
        if record is None:
            return False
        table = getattr(self._schema, name)
        values = maps[name].derived(record)
        stored = connection.execute(select(*(table.c[n] for n in values)).where(table.c.id == subject)).one()
        if list(stored) == list(values.values()):
            return False
        connection.execute(update(table).where(table.c.id == subject).values(**values))
        return True

    def _file_under_tags(self, rows: Rows, connection: Connection, job_id: str) -> bool:
        jobs, tags = self._schema.jobs, self._schema.tags
        job = rows.job(job_id, lock=True)
        seq = connection.scalar(select(jobs.c.seq).where(jobs.c.id == job_id))
        if job is None or seq is None:
            return False
        filed = set(connection.scalars(select(tags.c.tag).where(tags.c.seq == seq)))
        missing = [tag for tag in dict.fromkeys(job.tags) if tag not in filed]
        if missing:
            connection.execute(insert(tags), [{"seq": seq, "tag": tag} for tag in missing])
        return bool(missing)


def _after(name: str) -> str | None:
    """Where to go on when a table is through."""
    following = list(PARTS)[list(PARTS).index(name) + 1 :]
    return f"{following[0]}:0" if following else None


def _columns(records: RecordMap[Any], table: Table) -> list[ColumnElement[Any]]:
    """Those of a record, and behind them the derived ones."""
    return [*records.columns, *(table.c[name] for name in records.derived_names)]


def _misfiled(records: RecordMap[Any], table: str, record: Any, row: Sequence[Any]) -> Iterator[Fault]:
    """The columns that hold nothing of their own, where they are not what follows from the record."""
    begin = len(records.columns)
    for name, right, stored in zip(records.derived_names, records.derived(record).values(), row[begin:]):  # noqa: B905
        if stored != right:
            text = (
                f"{name} of the {table[:-1]} {record.id} is {_shown(stored)}, and should be {_shown(right)}"
            )
            yield Fault(kind=FaultKind.INDEX, subject=record.id, text=text, detail=table)
            return


def _shown(value: Any) -> str:
    return "empty" if value is None else str(value)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _end_of_part(connection: Connection, table: Table, after: int, size: int) -> tuple[int, int]:
    """Up to which number a part goes, and how many rows it has; a table without numbers is one part."""
    if "seq" not in table.c:
        return 0, connection.scalar(select(func.count()).select_from(table)) or 0
    # A job has as many entries under tags as it has tags; a part holds all of each.
    seqs = select(table.c.seq).distinct().where(table.c.seq > after).order_by(table.c.seq).limit(size)
    part = seqs.subquery()
    last, number = connection.execute(select(func.max(part.c.seq), func.count()).select_from(part)).one()
    return last or 0, number
