"""Claims, fences and keys to values and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.lock import Kind, LockRecord, Place, in_order
from celery_jobtrack.strategies import refusals
from celery_jobtrack.strategies.redis.fields import CONFLICTS, LINES, LOCK, STANDINGS
from celery_jobtrack.strategies.redis.ids import pack_key, unpack_id
from celery_jobtrack.strategies.redis.packing import (
    exact_microseconds,
    fields,
    moment,
    pack,
    the_moment,
    to_microseconds,
    unpack,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.errors import Overlapping
    from celery_jobtrack.model.lock import Claim

_STANDING = {code: standing for standing, code in STANDINGS.items()}
_KIND = {code: kind for kind, code in LINES.items()}
_LIMIT, _FENCE, _REJECTED, _TOUCHED_AT = (LOCK[name] for name in ("limit", "fence", "rejected", "touched_at"))
_KIND_CODE, _INTERVAL, _NEXT_AT = (LOCK[name] for name in ("kind", "interval", "next_at"))


def dump_claims(claims: tuple[Claim, ...]) -> bytes:
    """What a job claims, in the order in which it is taken. What is as it mostly is says no word more."""
    return pack([_claim(claim) for claim in (claims if len(claims) == 1 else in_order(claims))])


def _claim(claim: Claim) -> tuple[object, ...]:
    packed = pack_key(claim.key), whole(claim.limit), CONFLICTS[claim.on_conflict]
    if claim.kind is Kind.SLOTS and claim.lease is None and not claim.until_start:
        return packed if claim.across_retries else (*packed, True)
    return (
        *packed,
        None if claim.across_retries else True,
        None if claim.kind is Kind.SLOTS else LINES[claim.kind],
        claim.until_start or None,
        None if claim.lease is None else exact_microseconds(claim.lease),
        exact_microseconds(claim.interval) or None if claim.interval else None,
        None if claim.at is None else to_microseconds(claim.at),
    )


def load_ids(packed: Sequence[bytes]) -> tuple[str, ...]:
    """The ids of jobs."""
    return tuple(unpack_id(job_id) for job_id in packed)


def load_fences(found: Sequence[Any]) -> tuple[tuple[str, int], ...]:
    """The fence of each key, of what comes as key, fence, key, fence."""
    return tuple((found[at].decode(), found[at + 1]) for at in range(0, len(found), 2))


def load_lock(key: str, found: Sequence[Any]) -> LockRecord:
    """What a script says of a key."""
    raw, taken, waiting, left_at, due_at = found
    value = fields(unpack(raw))
    interval, next_at = value.get(_INTERVAL), value.get(_NEXT_AT)
    # That of a rate is by when it is at rest.
    left_at = left_at if left_at and next_at is None else 0
    return LockRecord(
        key=key,
        kind=_KIND[value.get(_KIND_CODE) or LINES[Kind.SLOTS]],
        limit=value[_LIMIT],
        interval=None if interval is None else interval / 1_000_000,
        taken=taken,
        waiting=waiting,
        fence=value[_FENCE],
        rejected=value[_REJECTED],
        touched_at=the_moment(max(value[_TOUCHED_AT], left_at)),
        next_at=moment(next_at),
        due_at=the_moment(due_at) if due_at else None,
    )


def load_place(key: str, found: Sequence[Any]) -> Place:
    """What a script says of a job that stands at a key."""
    job_id, standing, fence, since, priority, recorded_at, lets_go, until_start, ends = found
    return Place(
        key=key,
        job_id=unpack_id(job_id),
        standing=_STANDING[standing],
        fence=fence or None,
        since=the_moment(since),
        priority=priority,
        recorded_at=the_moment(recorded_at or since),
        across_retries=not lets_go,
        until_start=until_start,
        until=the_moment(ends) if ends else None,
    )


def overlapping(task: str, key: bytes, holder: bytes | None) -> Overlapping:
    """Why a job is not dispatched."""
    return refusals.overlapping(task, key.decode(), unpack_id(holder) if holder else None)
