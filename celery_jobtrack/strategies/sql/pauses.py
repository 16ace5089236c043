"""How many members of a group wait for a retry or are parked, kept beside the group and not in its row.

Members that run are as few as there are processes, so a status counts those. Members that *pause* may be all:
while something that they need is away, each of a hundred thousand waits for its retry. So they are counted
by the transitions that let a job pause or go on, which neither lock nor write the group's row, as a start
does not. What such a transaction changes is added to one row of ``pauses``, as its last statement: rows are
locked in the order job, group, tally, pause. Each connection has its slot there, so that those who count at
the same moment seldom wait for each other. A slot by itself may be negative, as one connection lets a job
pause and another one starts it; the sum is exact, in whatever snapshot, because each transition changes the
job and the sum by the same commit.

That is also why no lock is needed to mend it: the difference between what is kept and what the jobs say, both
read by one statement, stays the same whatever transitions are made, until somebody adds it.

They are kept by generation, as members are counted by it. Those of generations before the group's totals
begin are dropped when they become that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, cast, delete, func, literal_column, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from celery_jobtrack.model.group import Pauses
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Delete, Insert, Select

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.sql.schema import Schema

SLOTS = 16
"""As many can count at the same moment; every status reads all."""

COUNTED_AS = {JobState.RETRY: "retrying", JobState.WAITING: "waiting"}
"""The counter of each state in which a job pauses."""

_OWN_SLOT = {
    "postgresql": f"MOD(PG_BACKEND_PID(), {SLOTS})",
    "mysql": f"MOD(CONNECTION_ID(), {SLOTS})",
    "sqlite": "0",  # only one can write
}

# Guards: the job is a member that waits for its retry, and otherwise as for a start.
# Writes its slot of the pauses. Part of a statement that starts the job, whose row is ``started``.
RESUME = """
    INSERT INTO {pauses} (group_id, generation, slot, retrying, waiting)
    SELECT group_id, generation, MOD(PG_BACKEND_PID(), {pause_slots}), -1, 0 FROM started
    ON CONFLICT (group_id, generation, slot) DO UPDATE SET retrying = {pauses}.retrying - 1
"""


class PauseChanges:
    """By how much one transaction changes the pauses of which groups."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, int], dict[str, int]] = {}

    def moved(self, before: JobRecord | None, after: JobRecord) -> None:
        """A job was written; ``before`` is None if it is new. One that leaves its group leaves nothing."""
        if after.generation is None:
            return
        for job, by in ((before, -1), (after, 1)):
            if job is None or job.group_id is None or job.generation is None:
                continue
            counter = COUNTED_AS.get(job.state)
            if counter is not None:
                self.add(job.group_id, job.generation, **{counter: by})

    def add(self, group_id: str, generation: int, **changes: int) -> None:
        """So many more of these counters."""
        counters = self._changes.setdefault((group_id, generation), dict.fromkeys(COUNTED_AS.values(), 0))
        for counter, by in changes.items():
            counters[counter] += by

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What to add to which row, in one order for all transactions."""
        for (group_id, generation), counters in sorted(self._changes.items()):
            if any(counters.values()):
                yield {"group_id": group_id, "generation": generation, **counters}


def add_pauses(schema: Schema, dialect: str) -> Insert:
    """Adds to the counters of a group's generation, in the slot of the connection.

    Guards: none, as the sum of all slots counts. Writes one row of the pauses, which it makes if need be.
    """
    pauses = schema.pauses
    slot = {"slot": literal_column(_OWN_SLOT[dialect], BigInteger)}
    if dialect == "mysql":
        into = mysql.insert(pauses).values(slot)
        added = {name: pauses.c[name] + into.inserted[name] for name in COUNTED_AS.values()}
        return into.on_duplicate_key_update(added).inline()
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    upsert = make(pauses).values(slot)
    added = {name: pauses.c[name] + upsert.excluded[name] for name in COUNTED_AS.values()}
    return upsert.on_conflict_do_update(index_elements=list(pauses.primary_key), set_=added).inline()


def drop_pauses(schema: Schema) -> Delete:
    """Deletes what is kept of a group's generations before ``of_generation``."""
    pauses = schema.pauses
    return delete(pauses).where(
        pauses.c.group_id == bindparam("of_group_id"), pauses.c.generation < bindparam("of_generation")
    )


def kept_pauses(
    schema: Schema, group_id: ColumnElement[Any], first: ColumnElement[Any], last: ColumnElement[Any]
) -> list[ColumnElement[int]]:
    """Reads, as columns, the counters of a group's generations from ``first`` to ``last``."""
    pauses = schema.pauses
    return [
        select(cast(func.coalesce(func.sum(pauses.c[name]), literal_column("0")), BigInteger))
        .where(pauses.c.group_id == group_id, pauses.c.generation >= first, pauses.c.generation <= last)
        .scalar_subquery()
        for name in COUNTED_AS.values()
    ]


def counted_pauses(
    schema: Schema, group_id: ColumnElement[Any], first: ColumnElement[Any], last: ColumnElement[Any]
) -> list[ColumnElement[int]]:
    """Counts, as columns, what the jobs themselves say: each is a range of the index by group and state."""
    jobs = schema.jobs
    return [
        select(func.count())
        .where(
            jobs.c.group_id == group_id,
            # Written out: a partial index needs to see the values when planning.
            jobs.c.state == literal_column(f"'{state.value}'", jobs.c.state.type),
            jobs.c.generation >= first,
            jobs.c.generation <= last,
        )
        .scalar_subquery()
        for state in COUNTED_AS
    ]


def compared_pauses(schema: Schema) -> Select[Any]:
    """Reads what is kept and counts what is right, of one moment; each half is for ``pauses_in``."""
    group_id = bindparam("of_group_id", type_=schema.pauses.c.group_id.type)
    first, last = bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)
    kept: list[ColumnElement[Any]] = [*kept_pauses(schema, group_id, first, last)]
    return select(*kept, *counted_pauses(schema, group_id, first, last))


def pauses_in(row: Any) -> Pauses:
    """The counters in the columns of ``kept_pauses`` or ``counted_pauses``."""
    return Pauses(**dict(zip(COUNTED_AS.values(), map(int, row), strict=True)))
