"""Gates over locked rows: the keys at which jobs of what is halted wait.

A gate has no places, so nobody who leaves its line calls the next one; only lifting its halt does. The row of
the gate is locked before its halt is read or written, so whoever parks there has done so before the halt is
lifted, and is called, or finds it lifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model.halt import gates_before
from celery_jobtrack.model.lock import HIGHEST_PRIORITY, Place, Standing
from celery_jobtrack.strategies.row import locking

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.lock import Claim
    from celery_jobtrack.strategies.row.rows import Rows

AT_ONCE = 100
"""How many are called in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """Where a job waits that would have started."""

    gate: str
    called: tuple[str, ...]
    """Whose turn it is in its place."""


def hold_back(rows: Rows, job: JobRecord, claims: tuple[Claim, ...]) -> HeldBack | None:
    """Let a job that would start wait at the first closed gate before it; None if none is.

    Args:
        rows: The transaction.
        job: As it is recorded.
        claims: What its message says that it claims. None is taken, and whose turn it was somewhere is so no
            more: others would wait for as long as the pause lasts.
    """
    gates = gates_before(rows.halts(), job)
    if not gates:
        return None
    turns = locking.keys_of_turns(rows, job, claims) if job.keyed else []
    locks = {key: rows.lock(key) for key in sorted({*gates, *turns})}
    # Read again: they may have been opened until this transaction had their rows.
    closed = gates_before(rows.halts(), job)
    key = next((key for key in gates if key in closed), None)
    if key is None:
        return None
    called = locking.give_up_turns(rows, job, claims) if turns else ()
    rows.put_place(
        Place(
            key=key,
            job_id=job.id,
            standing=Standing.WAITING,
            since=rows.now(),
            priority=max(0, min(job.priority or 0, HIGHEST_PRIORITY)),
            recorded_at=job.enqueued_at or rows.now(),
        )
    )
    lock = locks[key]
    rows.update_lock(lock, lock.evolve(limit=0, waiting=lock.waiting + 1, touched_at=rows.now()))
    return HeldBack(gate=key, called=called)


def call_some(rows: Rows, key: str) -> tuple[tuple[str, ...], bool]:
    """Call the first of those who wait at a gate. Gives them, and whether somebody still waits."""
    before = rows.lock(key)
    after = before
    called: list[str] = []
    first = rows.first_in_line(key)
    while first is not None and len(called) < AT_ONCE:
        rows.put_place(first.evolve(standing=Standing.CALLED, since=rows.now()))
        after = after.evolve(taken=after.taken + 1, waiting=max(0, after.waiting - 1), touched_at=rows.now())
        called.append(first.job_id)
        first = rows.first_in_line(key)
    rows.update_lock(before, after)
    return tuple(called), first is not None


def go_through(rows: Rows, place: Place) -> None:
    """Let a job go that was called at a gate: nothing of it is kept there."""
    lock = rows.lock(place.key)
    rows.drop_place(place)
    rows.update_lock(lock, lock.evolve(taken=max(0, lock.taken - 1), touched_at=rows.now()))
