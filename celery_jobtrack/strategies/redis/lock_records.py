"""Claims, fences and keys to values and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import Overlapping
from celery_jobtrack.model.lock import LockRecord, Place, in_order
from celery_jobtrack.strategies.redis.fields import CONFLICTS, LOCK, STANDINGS
from celery_jobtrack.strategies.redis.ids import pack_key, unpack_id
from celery_jobtrack.strategies.redis.packing import fields, pack, the_moment, unpack, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.lock import Claim

_STANDING = {code: standing for standing, code in STANDINGS.items()}
_LIMIT, _FENCE, _REJECTED, _TOUCHED_AT = (LOCK[name] for name in ("limit", "fence", "rejected", "touched_at"))


def dump_claims(claims: tuple[Claim, ...]) -> bytes:
    """What a job claims, in the order in which it is taken. A key that is let go has one word more."""
    return pack([_claim(claim) for claim in (claims if len(claims) == 1 else in_order(claims))])


def _claim(claim: Claim) -> tuple[object, ...]:
    packed = pack_key(claim.key), whole(claim.limit), CONFLICTS[claim.on_conflict]
    return packed if claim.across_retries else (*packed, True)


def load_ids(packed: Sequence[bytes]) -> tuple[str, ...]:
    """The ids of jobs."""
    return tuple(unpack_id(job_id) for job_id in packed)


def load_fences(found: Sequence[Any]) -> tuple[tuple[str, int], ...]:
    """The fence of each key, of what comes as key, fence, key, fence."""
    return tuple((found[at].decode(), found[at + 1]) for at in range(0, len(found), 2))


def load_lock(key: str, found: Sequence[Any]) -> LockRecord:
    """What a script says of a key."""
    raw, taken, waiting, left_at = found
    value = fields(unpack(raw))
    return LockRecord(
        key=key,
        limit=value[_LIMIT],
        taken=taken,
        waiting=waiting,
        fence=value[_FENCE],
        rejected=value[_REJECTED],
        touched_at=the_moment(max(value[_TOUCHED_AT], left_at or 0)),
    )


def load_place(key: str, found: Sequence[Any]) -> Place:
    """What a script says of a job that stands at a key."""
    job_id, standing, fence, since, priority, recorded_at, lets_go = found
    return Place(
        key=key,
        job_id=unpack_id(job_id),
        standing=_STANDING[standing],
        fence=fence or None,
        since=the_moment(since),
        priority=priority,
        recorded_at=the_moment(recorded_at or since),
        across_retries=not lets_go,
    )


def overlapping(task: str, key: bytes, holder: bytes | None) -> Overlapping:
    """Why a job is not dispatched."""
    name, holder_id = key.decode(), unpack_id(holder) if holder else None
    return Overlapping(
        f"task {task} is not dispatched: job {holder_id} has the lock {name!r}", name, holder_id
    )
