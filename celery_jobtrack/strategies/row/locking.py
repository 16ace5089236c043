"""Who has a key and who waits for it, over locked rows.

A key's row is locked before anything about it is read, and after the job's own. Who is called or superseded
is only marked here, and moves in a transaction of its own: nobody locks another job's row behind a key's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import (
    HIGHEST_PRIORITY,
    Kind,
    OnConflict,
    Place,
    Standing,
    in_order,
)
from celery_jobtrack.strategies.row.calling import call_next, is_being_published, without_overdue

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

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
    """Take a place at every key for a start, or stand in line at the first that has none.

    What is taken before is kept by who is parked. What was kept until the start is left; who is parked leaves
    only what lets others go before it.

    Args:
        rows: The transaction.
        job: Who claims, as it is recorded or would be.
        claims: What it claims.
    """
    claims = in_order(claims)
    unique = _unique_until_start(claims)
    for key in unique:
        rows.lock(key)  # in its turn, as it may be left at the end
    called: tuple[str, ...] = ()
    if job.keyed:
        called = _give_up_those(rows, job, lambda place: place.until_start and place.key not in unique)
    taken = _take(rows, job, [claim for claim in claims if not claim.from_dispatch])
    called += taken.called
    if taken.blocked is None and unique:
        called += _give_up_those(rows, job, lambda place: place.key in unique)
    return replace(taken, called=called)


def look(rows: Rows, job: JobRecord, claims: tuple[Claim, ...], *, starts_later: bool) -> Taken:
    """Take the places that are kept from the dispatch on, and stand in line at the first that has none.

    Of the others nothing is taken if all have room, but that a rate knows of who is on his way; if not, it is
    done as ``take`` does.

    Args:
        rows: The transaction.
        job: A new job, as it would be recorded.
        claims: What it claims.
        starts_later: Whether it is due later: who has a key now says nothing about then.
    """
    claims = in_order(claims)
    taken = _take(rows, job, [claim for claim in claims if claim.from_dispatch])
    if taken.blocked is not None or starts_later:
        return taken
    others = [claim for claim in claims if not claim.from_dispatch]
    called = taken.called
    for claim in others:
        has_room, also_called = _make_room(rows, claim)
        called += also_called
        if not has_room:
            later = _take(rows, job, others)
            return replace(later, called=called + later.called)
    for claim in others:
        if claim.kind is Kind.RATE:
            _send_towards(rows, job, claim)
    return replace(taken, called=called)


def keys_of_turns(rows: Rows, job: JobRecord, claims: tuple[Claim, ...]) -> list[str]:
    """The keys at which ``give_up_turns`` gives up a job's place."""
    unique = _unique(claims)
    return [place.key for place in rows.places_of(job.id) if _is_turn(place, unique)]


def give_up_turns(rows: Rows, job: JobRecord, claims: tuple[Claim, ...]) -> tuple[str, ...]:
    """Give up every place that is kept for the start of a job which may not start for long.

    It keeps what it has taken, and what makes it unique. Gives who is called.
    """
    unique = _unique(claims)
    return _give_up_those(rows, job, lambda place: _is_turn(place, unique))


def leave(rows: Rows, job: JobRecord) -> tuple[str, ...]:
    """Give up every place of a job that has ended. Gives who is called."""
    return _give_up_those(rows, job, lambda _: True)


def let_go(rows: Rows, job: JobRecord) -> tuple[str, ...]:
    """Give up the places that a job does not keep between its attempts. Gives who is called."""
    return _give_up_those(rows, job, lambda place: place.takes and not place.across_retries)


def follow(rows: Rows, before: JobRecord, after: JobRecord) -> tuple[str, ...]:
    """What a job's move means for its places. Gives who is called."""
    if not before.keyed:
        return ()
    if after.is_final:
        return () if before.is_final else leave(rows, after)
    if before.token is not None and after.token is None:
        return let_go(rows, after)
    return ()


def call_due(rows: Rows, key: str) -> tuple[str, ...]:
    """Call who may be called because time has passed. Gives who is called."""
    before = rows.lock(key)
    after, called = call_next(rows, without_overdue(rows, before))
    rows.update_lock(before, after)
    return called


def empty(rows: Rows, key: str) -> tuple[str, ...]:
    """Take a key away from whoever has it, not from who is about to be published. Gives who is called."""
    before = rows.lock(key)
    # What a rate has let through is forgotten as well.
    after = before.evolve(next_at=None)
    for place in rows.taken_places(key):
        if not is_being_published(rows, place):
            rows.drop_place(place)
            after = after.evolve(taken=max(0, after.taken - 1))
    after, called = call_next(rows, after)
    rows.update_lock(before, after)
    return called


def _take(rows: Rows, job: JobRecord, claims: list[Claim]) -> Taken:
    fences: list[tuple[str, int]] = []
    called: tuple[str, ...] = ()
    for claim in claims:
        before = rows.lock(claim.key)
        lock = before.claimed_by(claim)
        place = rows.place(claim.key, job.id)
        has_place = place is not None and place.takes
        if not has_place and not lock.has_room(rows.now()):
            lock = without_overdue(rows, lock)
        if not _may_pass(lock, claim, rows.now(), has_place=has_place):
            blocked = _blocked(rows, job, claim, before, lock, place)
            return replace(blocked, called=called + blocked.called)
        after, also_called = _passed(rows, job, claim, lock, place)
        rows.update_lock(before, after)
        called += also_called
        if claim.kind is Kind.SLOTS:
            fences.append((claim.key, after.fence))
    return Taken(fences=tuple(fences), called=called)


def _unique_until_start(claims: tuple[Claim, ...]) -> list[str]:
    return [claim.key for claim in claims if claim.kind is Kind.UNIQUE and claim.until_start]


def _unique(claims: tuple[Claim, ...]) -> list[str]:
    return [claim.key for claim in claims if claim.kind is Kind.UNIQUE]


def _is_turn(place: Place, unique: list[str]) -> bool:
    has_taken = place.standing is Standing.HOLDING and place.fence is not None
    return not has_taken and place.key not in unique


def _send_towards(rows: Rows, job: JobRecord, claim: Claim) -> None:
    """Keep a place at a rate for a job that is sent at once, as for one that was called."""
    before = rows.lock(claim.key)
    lock, now = before.claimed_by(claim), rows.now()
    rows.put_place(_placed(rows, job, claim, Standing.HOLDING, None).evolve(until=lock.call_until(now)))
    rows.update_lock(before, lock.evolve(taken=lock.taken + 1, touched_at=now))


def _make_room(rows: Rows, claim: Claim) -> tuple[bool, tuple[str, ...]]:
    """Whether there is room at a key, without those whose time has run out. Gives who is called, too."""
    before = rows.lock(claim.key)
    lock = before.claimed_by(claim)
    if lock.has_room(rows.now()):
        return True, ()
    after = without_overdue(rows, lock)
    if after is lock:
        return False, ()
    after, called = call_next(rows, after)
    rows.update_lock(before, after)
    return after.has_room(rows.now()), called


def _may_pass(lock: LockRecord, claim: Claim, now: datetime, *, has_place: bool) -> bool:
    if claim.kind is Kind.CLOCK:
        return claim.at is None or claim.at <= now
    if has_place and lock.kind is Kind.RATE:
        # Its way to the worker was short, or it was called by another rate than that of today.
        return lock.starts(now) > 0
    return has_place or lock.has_room(now)


def _passed(
    rows: Rows, job: JobRecord, claim: Claim, lock: LockRecord, place: Place | None
) -> tuple[LockRecord, tuple[str, ...]]:
    """What becomes of a key and of the job's place at it when it may pass."""
    now = rows.now()
    if claim.kind is Kind.RATE:
        if place is not None:
            rows.drop_place(place)
            lock = lock.evolve(taken=max(0, lock.taken - 1))
        return call_next(rows, lock.started(now))
    if claim.kind is Kind.CLOCK:
        return lock.evolve(touched_at=now), ()
    fence = lock.fence + 1
    added = 0 if place is not None and place.takes else 1
    slots = claim.kind is Kind.SLOTS
    held = _placed(rows, job, claim, Standing.HOLDING, fence if slots else None)
    rows.put_place(held.evolve(until=_until(lock, claim, now)))
    lock = lock.evolve(fence=fence, taken=lock.taken + added, touched_at=now)
    # Who waits may have to wait for the end of this lease now.
    return call_next(rows, lock) if lock.waiting else (lock, ())


def _until(lock: LockRecord, claim: Claim, now: datetime) -> datetime | None:
    return lock.call_until(now) if claim.lease is None else now + timedelta(seconds=claim.lease)


def _blocked(  # noqa: PLR0917 - what was read of the key, before and after
    rows: Rows, job: JobRecord, claim: Claim, before: LockRecord, lock: LockRecord, mine: Place | None
) -> Taken:
    taken = rows.taken_places(claim.key) if claim.kind in {Kind.SLOTS, Kind.UNIQUE} else ()
    blocked_by = taken[0].job_id if taken else None
    line = rows.line(claim.key) if claim.on_conflict is OnConflict.LATEST else ()
    waiting = _placed(rows, job, claim, Standing.WAITING, None)
    newer = [place for place in line if _age(place) > _age(waiting)]
    if not claim.parks or newer:
        # Somebody who had stayed too long may have gone just now.
        after, called = call_next(rows, lock.evolve(rejected=lock.rejected + 1))
        rows.update_lock(before, after)
        return Taken(
            blocked=claim,
            blocked_by=newer[0].job_id if newer else blocked_by,
            called=called + leave(rows, job),
        )
    superseded = tuple(place for place in line if place.job_id != job.id)
    for place in superseded:
        rows.put_place(place.evolve(standing=Standing.SUPERSEDED, since=rows.now()))
    if mine is not None and mine.takes:
        # It was called too early, and goes back to where it stood.
        lock = lock.evolve(taken=max(0, lock.taken - 1))
    rows.put_place(waiting)
    after, called = call_next(
        rows,
        lock.evolve(waiting=lock.waiting - len(superseded) + 1, rejected=lock.rejected + len(superseded)),
    )
    rows.update_lock(before, after)
    return Taken(
        blocked=claim,
        parked=True,
        blocked_by=blocked_by,
        called=called,
        superseded=tuple(place.job_id for place in superseded),
    )


def _age(place: Place) -> tuple[object, str]:
    return place.recorded_at, place.job_id


def _placed(rows: Rows, job: JobRecord, claim: Claim, standing: Standing, fence: int | None) -> Place:
    urgent = 0 if claim.at is not None else max(0, min(job.priority or 0, HIGHEST_PRIORITY))
    return Place(
        key=claim.key,
        job_id=job.id,
        standing=standing,
        fence=fence,
        since=rows.now(),
        priority=urgent,
        recorded_at=claim.at or job.enqueued_at or rows.now(),
        across_retries=claim.across_retries,
        until_start=claim.until_start,
    )


def _give_up_those(rows: Rows, job: JobRecord, is_wanted: Callable[[Place], bool]) -> tuple[str, ...]:
    places = sorted(rows.places_of(job.id), key=lambda place: place.key)
    return tuple(called for place in places if is_wanted(place) for called in _give_up(rows, place))


def _give_up(rows: Rows, place: Place) -> tuple[str, ...]:
    """Take a place away, and call whoever is next."""
    # Locked first, and read again: it may have been called, or superseded, meanwhile.
    before = rows.lock(place.key)
    current = rows.place(place.key, place.job_id)
    if current is None:
        return ()
    rows.drop_place(current)
    after = before
    if current.takes:
        after = before.evolve(taken=max(0, before.taken - 1))
    elif current.standing is Standing.WAITING:
        after = before.evolve(waiting=max(0, before.waiting - 1))
    after, called = call_next(rows, after)
    rows.update_lock(before, after)
    return called
