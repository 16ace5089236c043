"""Mends over locked rows what the doctor found of keys and places, if it is still so.

The job's row is locked before the key's. Those who are called are published by the checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import HIGHEST_PRIORITY, Kind, Place, Standing
from celery_jobtrack.model.lock_diagnosis import fault_of_lock
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.row import locking

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.row.rows import Rows


def put_place_right(rows: Rows, job_id: str, key: str) -> bool:
    """Take a place away that nobody will leave, or give a job one for which it waits."""
    job = rows.job(job_id, lock=True)
    if job is None or job.is_final:
        return strike(rows, key, job_id)
    waits_here = job.state is JobState.WAITING and job.waits_for == key
    unkeyed = not job.keyed and (waits_here or rows.place(key, job_id) is not None)
    if unkeyed:
        rows.update_job(job, job.evolve(keyed=True))
    return (waits_here and _stand_in_line(rows, job, key)) or unkeyed


def recount(rows: Rows, key: str) -> bool:
    """Count a key's places anew, and call who may be called; False if nothing was wrong with it."""
    lock = rows.lock(key)
    taken, waiting = rows.count_places(key)
    if fault_of_lock(lock, taken, waiting) is None:
        return False
    rows.update_lock(lock, lock.evolve(taken=taken, waiting=waiting, touched_at=rows.now()))
    locking.call_due(rows, key)
    return True


def strike(rows: Rows, key: str, job_id: str) -> bool:
    """Take away a place of a job that has ended or is not recorded; False if there is none."""
    rows.lock(key)
    place = rows.place(key, job_id)
    # A job that nobody had recorded has no row to lock: it may have come while the key was waited for.
    job = rows.job(job_id, lock=False)
    if place is None or not (job is None or job.is_final):
        return False
    rows.drop_place(place)
    recount(rows, key)
    return True


def _stand_in_line(rows: Rows, job: JobRecord, key: str) -> bool:
    """Give a parked job its place in line back; False if it has one."""
    lock = rows.lock(key)
    if rows.place(key, job.id) is not None:
        return False
    # What else it claims of the key, its start says again. What its dispatch said, the job tells.
    moments = {Kind.CLOCK: job.eta, Kind.QUEUE: job.expires_at}
    place = Place(
        key=key,
        job_id=job.id,
        standing=Standing.WAITING,
        since=rows.now(),
        priority=0 if lock.kind in moments else max(0, min(job.priority or 0, HIGHEST_PRIORITY)),
        recorded_at=moments.get(lock.kind) or job.enqueued_at or rows.now(),
        until_start=lock.kind in moments,
    )
    rows.put_place(place)
    recount(rows, key)
    return True
