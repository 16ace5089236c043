"""Looks through keys, and through the places at them, for what does not fit together.

Both tables are in the order of their keys; they have no numbers. A part is read at one moment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.lock import Standing, taken_and_waiting
from celery_jobtrack.model.lock_diagnosis import fault_of_lock, fault_of_place, unrecorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from celery_jobtrack.model.fault import Fault
    from celery_jobtrack.strategies.sql.records import RecordMaps
    from celery_jobtrack.strategies.sql.schema import Schema

Position = tuple[str, str]
"""A key, and a job that stands at it; the latter is empty in the table of keys."""
BEGIN = "0"
"""The cursor of a table's first part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows of a table are looked at, by whom."""

    connection: Connection
    """It sees one moment."""
    schema: Schema
    maps: RecordMaps
    after: Position | None
    """Of the last row of the part before; None for the first part."""
    size: int
    """How many rows at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was found in some rows."""

    faults: tuple[Fault, ...] = ()
    last: Position | None = None
    """Of the last row; None if there was no row."""
    examined: int = 0


def load_cursor(text: str) -> Position | None:
    """What ``dump_cursor`` wrote. Raises InvalidPayload."""
    if text == BEGIN:
        return None
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, list) or [type(each) for each in key] != [str, str]:
        raise InvalidPayload(f"{text[:40]!r} is no cursor: hand on the one that a page came with")
    return key[0], key[1]


def dump_cursor(position: Position) -> str:
    """A position as part of a cursor."""
    return json.dumps(position)


def _locks(part: Asked) -> Part:
    """Keys, with what is counted of their places."""
    connection, maps = part.connection, part.maps
    locks, places = part.schema.locks, part.schema.places
    statement = select(*maps.lock.columns).order_by(locks.c.key).limit(part.size)
    if part.after is not None:
        statement = statement.where(locks.c.key > part.after[0])
    found = [maps.lock.load(row) for row in connection.execute(statement)]
    if not found:
        return Part()
    counted: dict[str, dict[Standing, int]] = {}
    numbers = (
        select(places.c.key, places.c.standing, func.count())
        .where(places.c.key >= found[0].key, places.c.key <= found[-1].key)
        .group_by(places.c.key, places.c.standing)
    )
    for key, standing, number in connection.execute(numbers):
        counted.setdefault(key, {})[standing] = number
    looked_at = (fault_of_lock(lock, *taken_and_waiting(counted.get(lock.key, {}))) for lock in found)
    faults = tuple(fault for fault in looked_at if fault is not None)
    return Part(faults=faults, last=(found[-1].key, ""), examined=len(found))


def _places(part: Asked) -> Part:
    """Places, each with its job and with whether its key is recorded."""
    schema = part.schema
    jobs, locks, places = schema.jobs, schema.locks, schema.places
    statement = (
        select(places.c.key, places.c.job_id, places.c.standing, jobs.c.state, jobs.c.keyed, locks.c.key)
        .outerjoin_from(places, jobs, jobs.c.id == places.c.job_id)
        .outerjoin(locks, locks.c.key == places.c.key)
        .order_by(places.c.key, places.c.job_id)
        .limit(part.size)
    )
    if part.after is not None:
        key, job_id = part.after
        behind = or_(places.c.key > key, and_(places.c.key == key, places.c.job_id > job_id))
        statement = statement.where(places.c.key >= key, behind)
    found = part.connection.execute(statement).all()
    if not found:
        return Part()
    faults = [fault_of_place(key, job_id, state, keyed=keyed) for key, job_id, _, state, keyed, _ in found]
    # Keys are deleted under those who were superseded, whom they do not count.
    counts = {row[0] for row in found if row[5] is None and row[2] is not Standing.SUPERSEDED}
    faults += [unrecorded(key) for key in sorted(counts)]
    last = found[-1][0], found[-1][1]
    return Part(faults=tuple(filter(None, faults)), last=last, examined=len(found))


LOOKS: Mapping[str, Callable[[Asked], Part]] = {"locks": _locks, "places": _places}
"""How each of the two tables is looked at."""
