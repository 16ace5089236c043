"""Who has a key and who waits for it, over locked rows.

A key's row is locked before anything about it is read, and after the job's own. Who is called or superseded
is only marked here, and moves in a transaction of its own: nobody locks another job's row behind a key's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import HIGHEST_PRIORITY, OnConflict, Place, Standing, in_order

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.lock import Claim, LockRecord
    from celery_jobtrack.strategies.row.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of claiming keys."""

    fences: tuple[tuple[str, int], ...] = ()
    blocked: Claim | None = None
    """The claim that was not met; None when all were."""
    parked: bool = False
    """Whether the job now waits in the line of that key; otherwise it is to be skipped."""
    blocked_by: str | None = None
    called: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()


def take(rows: Rows, job: JobRecord, claims: tuple[Claim, ...]) -> Taken:
    """Take a place at every key, or stand in line at the first that has none; what is taken before is kept.

    Args:
        rows: The transaction.
        job: Who claims, as it is recorded or would be.
        claims: What it claims.
    """
    fences = []
    for claim in in_order(claims):
        lock = rows.lock(claim.key)
        place = rows.place(claim.key, job.id)
        if not (place is not None and place.takes) and not lock.has_room(claim.limit):
            return _blocked(rows, job, claim, lock)
        fences.append((claim.key, _acquire(rows, job, claim, lock, place)))
    return Taken(fences=tuple(fences))


def look(rows: Rows, job: JobRecord, claims: tuple[Claim, ...]) -> Taken:
    """Take nothing if every key has room; otherwise do as ``take`` does."""
    locks = [rows.lock(claim.key) for claim in in_order(claims)]
    if all(lock.has_room(claim.limit) for claim, lock in zip(in_order(claims), locks, strict=True)):
        return Taken()
    return take(rows, job, claims)


def leave(rows: Rows, job: JobRecord) -> tuple[str, ...]:
    """Give up every place of a job that has ended. Gives who is called."""
    return tuple(called for place in _places(rows, job) for called in _give_up(rows, place))


def let_go(rows: Rows, job: JobRecord) -> tuple[str, ...]:
    """Give up the places that a job does not keep between its attempts. Gives who is called."""
    return tuple(
        called
        for place in _places(rows, job)
        if place.takes and not place.across_retries
        for called in _give_up(rows, place)
    )


def follow(rows: Rows, before: JobRecord, after: JobRecord) -> tuple[str, ...]:
    """What a job's move means for its places. Gives who is called."""
    if not before.keyed:
        return ()
    if after.is_final:
        return () if before.is_final else leave(rows, after)
    if before.token is not None and after.token is None:
        return let_go(rows, after)
    return ()


def empty(rows: Rows, key: str) -> tuple[str, ...]:
    """Take a key away from whoever has it, not from who is about to be published. Gives who is called."""
    rows.lock(key)
    taken = [place for place in rows.taken_places(key) if not _is_being_published(rows, place)]
    return tuple(called for place in taken for called in _give_up(rows, place))


def call_due(rows: Rows, key: str) -> tuple[str, ...]:
    """Call who may be called at a key, though nobody has left it. Gives who is called."""
    lock = rows.lock(key)
    after, called = _call_next(rows, lock)
    rows.update_lock(lock, after)
    return tuple(called)


def _is_being_published(rows: Rows, place: Place) -> bool:
    # Who is called has left the line already: without a place nobody would publish it.
    job = rows.job(place.job_id, lock=False) if place.standing is Standing.CALLED else None
    return job is not None and job.waits_for == place.key


def _places(rows: Rows, job: JobRecord) -> list[Place]:
    return sorted(rows.places_of(job.id), key=lambda place: place.key)


def _acquire(rows: Rows, job: JobRecord, claim: Claim, lock: LockRecord, place: Place | None) -> int:
    fence = lock.fence + 1
    added = 0 if place is not None and place.takes else 1
    now = rows.now()
    rows.update_lock(
        lock, lock.evolve(fence=fence, taken=lock.taken + added, limit=claim.limit, touched_at=now)
    )
    held = _placed(rows, job, claim, Standing.HOLDING, fence)
    rows.put_place(held)
    return fence


def _blocked(rows: Rows, job: JobRecord, claim: Claim, lock: LockRecord) -> Taken:
    taken = rows.taken_places(claim.key)
    blocked_by = taken[0].job_id if taken else None
    superseded: tuple[Place, ...] = ()
    line = rows.line(claim.key) if claim.on_conflict is OnConflict.LATEST else ()
    mine = _placed(rows, job, claim, Standing.WAITING, None)
    newer = [place for place in line if _age(place) > _age(mine)]
    if not claim.parks or newer:
        rows.update_lock(lock, lock.evolve(rejected=lock.rejected + 1, touched_at=rows.now()))
        return Taken(
            blocked=claim,
            blocked_by=newer[0].job_id if newer else blocked_by,
            called=leave(rows, job),
        )
    superseded = tuple(place for place in line if place.job_id != job.id)
    for place in superseded:
        rows.put_place(place.evolve(standing=Standing.SUPERSEDED, since=rows.now()))
    after = lock.evolve(
        waiting=lock.waiting - len(superseded) + 1,
        rejected=lock.rejected + len(superseded),
        limit=claim.limit,
        touched_at=rows.now(),
    )
    rows.update_lock(lock, after)
    rows.put_place(mine)
    return Taken(
        blocked=claim,
        parked=True,
        blocked_by=blocked_by,
        superseded=tuple(place.job_id for place in superseded),
    )


def _age(place: Place) -> tuple[object, str]:
    return place.recorded_at, place.job_id


def _placed(rows: Rows, job: JobRecord, claim: Claim, standing: Standing, fence: int | None) -> Place:
    return Place(
        key=claim.key,
        job_id=job.id,
        standing=standing,
        fence=fence,
        since=rows.now(),
        priority=max(0, min(job.priority or 0, HIGHEST_PRIORITY)),
        recorded_at=job.enqueued_at or rows.now(),
        across_retries=claim.across_retries,
    )


def _give_up(rows: Rows, place: Place) -> list[str]:
    """Take a place away, and call whoever is next."""
    # Locked first, and read again: it may have been called, or superseded, meanwhile.
    lock = rows.lock(place.key)
    now = rows.now()
    current = rows.place(place.key, place.job_id)
    if current is None:
        return []
    rows.drop_place(current)
    after = lock.evolve(touched_at=now)
    if current.takes:
        after = after.evolve(taken=max(0, lock.taken - 1))
    elif current.standing is Standing.WAITING:
        after = after.evolve(waiting=max(0, lock.waiting - 1))
    after, called = _call_next(rows, after)
    rows.update_lock(lock, after)
    return called


def _call_next(rows: Rows, lock: LockRecord) -> tuple[LockRecord, list[str]]:
    """Call whoever may have a place. Gives the key as it is to be written, and who is called."""
    called = []
    while lock.taken < lock.limit and lock.waiting:
        first = rows.first_in_line(lock.key)
        if first is None:
            lock = lock.evolve(waiting=0)
            break
        rows.put_place(first.evolve(standing=Standing.CALLED, since=rows.now()))
        lock = lock.evolve(taken=lock.taken + 1, waiting=lock.waiting - 1)
        called.append(first.job_id)
    return lock, called
