"""Who is next at a key, over locked rows: the key's row is locked already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import AT_ONCE, Kind, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.strategies.row.rows import Rows


def call_next(rows: Rows, lock: LockRecord) -> tuple[LockRecord, tuple[str, ...]]:
    """Give free places to who is next. Gives the key as it is to be written, and who is called."""
    now = rows.now()
    called: list[str] = []
    first = rows.first_in_line(lock.key) if lock.waiting else None
    while first is not None and len(called) < AT_ONCE and lock.may_call(first, now):
        rows.put_place(first.evolve(standing=Standing.CALLED, since=now, until=lock.call_until(now)))
        lock = lock.evolve(taken=lock.taken + 1, waiting=max(0, lock.waiting - 1))
        called.append(first.job_id)
        first = rows.first_in_line(lock.key)
    if first is None:
        lock = lock.evolve(waiting=0)
    # At a clock nobody's place runs out, and many are taken.
    runs_out = first is not None and lock.taken and lock.kind is not Kind.CLOCK
    soonest = _soonest(rows.taken_places(lock.key)) if runs_out else None
    return lock.evolve(due_at=lock.due(first, soonest, now), touched_at=now), tuple(called)


def without_overdue(rows: Rows, lock: LockRecord) -> LockRecord:
    """The key without those whose time at it has run out. They go on, and leave nothing when they end."""
    now = rows.now()
    if lock.kind is Kind.CLOCK:
        return lock
    for place in rows.taken_places(lock.key):
        if place.until is not None and place.until <= now and not is_being_published(rows, place):
            rows.drop_place(place)
            lock = lock.evolve(taken=max(0, lock.taken - 1))
    return lock


def is_being_published(rows: Rows, place: Place) -> bool:
    """Whether it was called and has not left the line: without its place nobody would publish it."""
    job = rows.job(place.job_id, lock=False) if place.standing is Standing.CALLED else None
    return job is not None and job.waits_for == place.key


def _soonest(places: Sequence[Place]) -> datetime | None:
    return min((place.until for place in places if place.until is not None), default=None)
