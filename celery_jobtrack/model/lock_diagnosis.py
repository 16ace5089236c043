"""What is wrong with a key or a place at it, as it is recorded: the same for every store that keeps rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.fault import Fault, FaultKind

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.lock import LockRecord
    from celery_jobtrack.model.state import JobState


def fault_of_place(key: str, job_id: str, state: JobState | None, *, keyed: bool) -> Fault | None:
    """Whether a place belongs to somebody who will leave it.

    Args:
        key: Where it is.
        job_id: Whose it is.
        state: Of that job; None if it is not recorded.
        keyed: Whether the job says that it claims keys.
    """
    if state is None:
        return _of_place(key, job_id, f"job {job_id} has a place at lock {key!r}, and is not recorded")
    if state.is_final:
        return _of_place(key, job_id, f"job {job_id} has ended as {state}, and has a place at lock {key!r}")
    if not keyed:
        text = f"job {job_id} has a place at lock {key!r}, and would not leave it at its end"
        return _of_place(key, job_id, text)
    return None


def out_of_line(job: JobRecord) -> Fault:
    """A job is parked, and does not stand in the line for which it waits."""
    assert job.waits_for is not None
    text = f"job {job.id} ({job.task}) waits for the lock {job.waits_for!r}, and is not in its line"
    return _of_place(job.waits_for, job.id, text)


def fault_of_lock(lock: LockRecord, taken: int, waiting: int) -> Fault | None:
    """Whether a key counts the places that it has, and its line moves.

    Args:
        lock: As it is recorded.
        taken: How many places there are of those who have it or are called.
        waiting: How many there are in its line.
    """
    if (lock.taken, lock.waiting) != (taken, waiting):
        text = f"counts {_places(lock.taken, lock.waiting)}, and has {_places(taken, waiting)}"
        return _of_lock(lock.key, text)
    # Not if it merely has room: who waits there may be due later, or be called chunk by chunk. Nor at a gate,
    # which has no places.
    if waiting and not taken and lock.limit and lock.due_at is None:
        return _of_lock(lock.key, "is free, and who waits for it was not called")
    return None


def unrecorded(key: str) -> Fault:
    """Somebody stands at a key of which there is no record."""
    return _of_lock(key, "is not recorded, and somebody stands at it")


def _of_place(key: str, job_id: str, text: str) -> Fault:
    return Fault(kind=FaultKind.PLACE, subject=job_id, text=text, detail=key)


def _of_lock(key: str, text: str) -> Fault:
    return Fault(kind=FaultKind.LOCK, subject=key, text=f"lock {key!r} {text}")


def _places(taken: int, waiting: int) -> str:
    return f"{taken} who have it and {waiting} who wait"
