"""The statements of transitions, built once for each store.

They are the hot path, and nothing of them is built anew for a call, so that SQLAlchemy finds what it
compiled before. Parameters are named as the columns; ``of_`` marks what identifies the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, delete, exists, func, insert, literal_column, select, text, update
from sqlalchemy import true as sql_true
from sqlalchemy.dialects import mysql, postgresql, sqlite

from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.sql.pauses import add_pauses, compared_pauses, drop_pauses
from celery_jobtrack.strategies.sql.plain_statements import PlainStatements
from celery_jobtrack.strategies.sql.records import RecordMaps
from celery_jobtrack.strategies.sql.tallies import with_tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Column, ColumnElement, Executable, FromClause, Insert, Select, Table, Update

    from celery_jobtrack.model.state import GroupState
    from celery_jobtrack.strategies.sql.clock import Clock
    from celery_jobtrack.strategies.sql.driver import Compiled
    from celery_jobtrack.strategies.sql.plain_statements import PlainStatement
    from celery_jobtrack.strategies.sql.schema import Schema


class Statements:
    """What ``SqlRows`` executes."""

    def __init__(self, schema: Schema, clock: Clock, dialect: str) -> None:
        self.maps = maps = RecordMaps(schema)
        jobs, groups, events = schema.jobs, schema.groups, schema.events
        attempts, fillers, tags = schema.attempts, schema.fillers, schema.tags

        with_clock = [] if clock.column is None else [clock.column]
        self.clock: Select[Any] | None = None if clock.column is None else select(clock.column)
        """Reads the server's clock; None without a server."""

        job = select(*maps.job.columns).where(jobs.c.id == bindparam("of_id"))
        self.job = job
        self.locked_job = job.add_columns(*with_clock).with_for_update()
        """Locks a job's row to the end of the transaction; the server's clock is its last column."""
        in_order = _locked_one_by_one if dialect == "postgresql" else _locked_among
        self.locked_jobs: Executable = in_order(maps.job.columns, jobs)
        """Locks the rows of ``of_ids``; they come in one order, so that two who want the same do not
        wait for each other."""
        self.insert_job = insert(jobs).inline()
        self.insert_tag = insert(tags).from_select(
            ["seq", "tag"],
            select(jobs.c.seq, bindparam("tag", type_=tags.c.tag.type)).where(
                jobs.c.id == bindparam("of_id", type_=jobs.c.id.type)
            ),
        )
        """Files a job that was just inserted under one of its tags."""
        self.insert_tags = insert(tags).inline()
        self.seqs = select(jobs.c.id, jobs.c.seq).where(jobs.c.id.in_(bindparam("of_ids", expanding=True)))
        self.set_message = (
            update(jobs).where(jobs.c.id == bindparam("of_id")).values(message=bindparam("message"))
        )

        self.set_result = (
            update(jobs).where(jobs.c.id == bindparam("of_id")).values(result=bindparam("result"))
        )

        self.attempt = select(*maps.attempt.columns).where(attempts.c.token == bindparam("of_token"))
        self.insert_attempt = insert(attempts).inline()

        self._read_groups(schema, with_clock, dialect)
        self.group_id_of_key = select(groups.c.id).where(groups.c.key == bindparam("of_key"))
        self.insert_group = insert(groups).inline()
        self.count_members = (
            select(jobs.c.state, func.count())
            .where(
                jobs.c.group_id == bindparam("of_group_id"),
                # All states: named, so that the index by group, state and generation serves.
                in_states(jobs.c.state, JobState),
                jobs.c.generation >= bindparam("first"),
                jobs.c.generation <= bindparam("last"),
            )
            .group_by(jobs.c.state)
        )
        """The members of some generations that follow each other, in each state."""

        self.add_pauses = add_pauses(schema, dialect)
        self.drop_pauses = drop_pauses(schema)
        self.compared_pauses = compared_pauses(schema)

        of_group = fillers.c.group_id == bindparam("of_group_id")
        of_filler = fillers.c.token == bindparam("of_token")
        self.is_filling = select(exists().where(of_group, fillers.c.until > bindparam("now")))
        self.renew_hold = update(fillers).where(of_group, of_filler).values(until=bindparam("until"))
        self.insert_hold = insert(fillers).inline()
        self.let_go = delete(fillers).where(of_group, of_filler)
        # Also what fillers that died have left: nobody else takes that away.
        self.let_go_of_dead = delete(fillers).where(
            of_group, of_filler | (fillers.c.until <= bindparam("now"))
        )

        self._locks_and_places(schema, dialect)
        self.insert_event = insert(events).inline()
        self.event = select(*maps.event.columns).where(events.c.id == bindparam("of_id"))
        self.first_pending_event = (
            select(*maps.event.columns)
            .where(events.c.group_id == bindparam("of_group_id"), events.c.pending == sql_true())
            .order_by(events.c.seq)
            .limit(literal_column("1"))
        )
        self.event_of_step = select(events.c.seq).where(
            events.c.group_id == bindparam("of_group_id"),
            events.c.generation == bindparam("of_generation"),
            events.c.kind == bindparam("of_kind"),
            events.c.step == bindparam("of_step"),
        )
        earlier = events.alias("earlier")
        self.groups_with_pending_events = (
            select(events.c.group_id)
            .where(
                events.c.pending == sql_true(),
                events.c.claimed_until.is_(None) | (events.c.claimed_until <= clock.expression),
                ~exists().where(
                    earlier.c.pending == sql_true(),
                    earlier.c.group_id == events.c.group_id,
                    earlier.c.seq < events.c.seq,
                ),
            )
            .order_by(events.c.seq)
            .limit(bindparam("limit"))
        )
        """Groups whose earliest pending event is due; a later one waits for the earlier one's delivery."""

        self._identities = {
            jobs: jobs.c.id,
            groups: groups.c.id,
            events: events.c.id,
            attempts: attempts.c.token,
            schema.locks: schema.locks.c.key,
        }
        self.compiled: dict[tuple[Executable, tuple[str, ...]], Compiled] = {}
        """What ``DriverConnection`` has compiled of them."""
        self._updates: dict[tuple[Table, frozenset[str]], Update] = {}

    def _read_groups(self, schema: Schema, with_clock: list[ColumnElement[int]], dialect: str) -> None:
        maps, groups = self.maps, schema.groups
        self.group_columns: Sequence[ColumnElement[Any]] = maps.group.columns
        self.groups_from: FromClause = groups
        """To read groups without locking them, for ``maps.group``."""
        self.gather_tallies: PlainStatement | None = None
        """Takes what is tallied elsewhere into a group's row, once that is locked."""
        if dialect == "postgresql":
            self.group_columns, self.groups_from = with_tallies(schema, maps.group.columns)
            self.gather_tallies = PlainStatements(schema, maps).gather_tallies
        by_id = groups.c.id == bindparam("of_id")
        self.group = select(*self.group_columns).select_from(self.groups_from).where(by_id)
        self.locked_group = (
            select(*maps.group.columns, groups.c.reserved, *with_clock).where(by_id).with_for_update()
        )
        """Locks a group's row to the end of the transaction; how much of it is reserved for tallies follows
        its columns, and the server's clock is the last one."""

    def _locks_and_places(self, schema: Schema, dialect: str) -> None:
        maps, locks, places = self.maps, schema.locks, schema.places
        of_key: ColumnElement[str] = bindparam("of_key")
        self.locked_lock = select(*maps.lock.columns).where(locks.c.key == of_key).with_for_update()
        """Locks a key's row to the end of the transaction; no row comes for a key that is new."""
        self.make_lock = insert_if_absent(locks, dialect)

        at_key = places.c.key == of_key
        of_job = places.c.job_id == bindparam("of_job_id")
        place = select(*maps.place.columns)
        self.place = place.where(at_key, of_job)
        self.places_of = place.where(of_job)
        self.put_place = insert_or_replace(places, dialect)
        self.drop_place = delete(places).where(at_key, of_job)
        self.taken_places = place.where(
            at_key, in_standings(places.c.standing, (Standing.CALLED, Standing.HOLDING))
        ).order_by(places.c.since, places.c.job_id)
        self.line = place.where(at_key, in_standings(places.c.standing, (Standing.WAITING,))).order_by(
            places.c.precedence, places.c.recorded_at, places.c.job_id
        )
        self.first_in_line = self.line.limit(literal_column("1"))
        self.count_places = select(places.c.standing, func.count()).where(at_key).group_by(places.c.standing)

    def update(self, table: Table, columns: Iterable[str]) -> Update:
        """Writes some columns of the row that ``of_it`` identifies; the same statement every time."""
        names = frozenset(columns)
        statement = self._updates.get((table, names))
        if statement is None:
            identity: Column[Any] = self._identities[table]
            statement = (
                update(table)
                .where(identity == bindparam("of_it", type_=identity.type))
                .values({name: bindparam(name, type_=table.c[name].type) for name in sorted(names)})
            )
            self._updates[table, names] = statement
        return statement


def _locked_among(columns: Sequence[Column[Any]], jobs: Table) -> Executable:
    among = jobs.c.id.in_(bindparam("of_ids", expanding=True))
    return select(*columns).where(among).order_by(jobs.c.id).with_for_update()


def _locked_one_by_one(columns: Sequence[Column[Any]], jobs: Table) -> Executable:
    """PostgreSQL's: each is looked for by itself, with a limit.

    A plan is made once for each connection, and one for many ids that was made while the table was small
    reads all of it for every chunk of a large dispatch.
    """
    found = _ONE_BY_ONE.format(job=", ".join(column.name for column in columns), jobs=jobs.name)
    ids = bindparam("of_ids", type_=postgresql.ARRAY(jobs.c.id.type))
    return text(found).bindparams(ids).columns(*columns)


_ONE_BY_ONE = """
SELECT found.* FROM UNNEST(CAST(:of_ids AS text[])) WITH ORDINALITY AS wanted(id, number), LATERAL (
    SELECT {job} FROM {jobs} WHERE id = wanted.id LIMIT 1 FOR UPDATE
) found ORDER BY wanted.number
"""


def in_states(column: ColumnElement[Any], states: Iterable[JobState | GroupState]) -> ColumnElement[bool]:
    """``column IN ('…', …)``, written out: a partial index needs to see the values when planning."""
    return column.in_([literal_column(f"'{state.value}'", Text) for state in sorted(states)])


def in_standings(column: ColumnElement[Any], standings: Sequence[Standing]) -> ColumnElement[bool]:
    """The same for standings; a single one is compared alone, so that its index gives an order."""
    values = [literal_column(f"'{standing.value}'", Text) for standing in standings]
    return column == values[0] if len(values) == 1 else column.in_(values)


def insert_if_absent(table: Table, dialect: str) -> Insert:
    """Inserts a row; its ``rowcount`` is 0 when a row with the same key is there already."""
    if dialect == "mysql":
        statement: Insert = insert(table).prefix_with("IGNORE")
    elif dialect == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
    else:
        statement = sqlite.insert(table).on_conflict_do_nothing()
    # Without the option SQLAlchemy does not ask how many rows an INSERT wrote.
    return statement.inline().execution_options(preserve_rowcount=True)


def insert_or_replace(table: Table, dialect: str) -> Insert:
    """Inserts a row, or writes every column of the one with the same primary key."""
    others = [column.name for column in table.columns if not column.primary_key]
    if dialect == "mysql":
        ours = mysql.insert(table)
        statement: Insert = ours.on_duplicate_key_update({name: ours.inserted[name] for name in others})
    else:
        known = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
        statement = known.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: known.excluded[name] for name in others}
        )
    return statement.inline()
