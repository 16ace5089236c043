"""Looks through the tables of the memory store for what does not fit together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from celery_jobtrack.model import diagnosis, lock_diagnosis
from celery_jobtrack.model.fault import FaultKind
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.lock import taken_and_waiting
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.memory.rows import MemoryRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from celery_jobtrack.model.fault import Fault
    from celery_jobtrack.model.lock import Standing
    from celery_jobtrack.strategies.memory.rows import Tables

_OF_JOBS = ("messages", "results")


def find(tables: Tables, now: datetime) -> Iterator[Fault]:
    """Everything that is wrong."""
    yield from _jobs(tables, now)
    yield from _attempts(tables)
    yield from _groups(tables, now)
    yield from _events(tables, now)
    yield from _locks(tables)
    for name in _OF_JOBS:
        for job_id in getattr(tables, name):
            if job_id not in tables.jobs:
                yield diagnosis.orphan(f"a {name[:-1]}", job_id, f"job {job_id}", name)
    for group_id, token in tables.fillers:
        if group_id not in tables.groups:
            yield diagnosis.orphan(f"the hold {token}", group_id, f"group {group_id}", f"fillers:{token}")


def remove_orphan(rows: MemoryRows, tables: Tables, fault: Fault) -> bool:
    """Delete what belongs to nothing."""
    assert fault.kind is FaultKind.ORPHAN
    name, _, token = fault.detail.partition(":")
    table = getattr(tables, name)
    key = (fault.subject, token) if token else fault.subject
    if key not in table:
        return False
    rows.drop(table, key)
    return True


def _jobs(tables: Tables, now: datetime) -> Iterator[Fault]:
    for job in tables.jobs.values():
        attempt = None if job.token is None else tables.attempts.get(job.token)
        yield from diagnosis.faults_of_attempt(job, attempt)
        if job.generation is not None and job.group_id not in tables.groups:
            yield diagnosis.without_group(job)
        stands = job.task == GROUP_TASK and not job.is_final and job.id not in tables.groups
        if stands and diagnosis.is_settled_in(now, job.enqueued_at):
            yield diagnosis.without_child(job)
        parked = job.state is JobState.WAITING and job.waits_for is not None
        if parked and (job.waits_for, job.id) not in tables.places:
            yield lock_diagnosis.out_of_line(job)


def _locks(tables: Tables) -> Iterator[Fault]:
    counted: dict[str, Counter[Standing]] = {}
    for place in tables.places.values():
        counted.setdefault(place.key, Counter())[place.standing] += 1
        job = tables.jobs.get(place.job_id)
        state, keyed = (None, False) if job is None else (job.state, job.keyed)
        if fault := lock_diagnosis.fault_of_place(place.key, place.job_id, state, keyed=keyed):
            yield fault
    for lock in tables.locks.values():
        if fault := lock_diagnosis.fault_of_lock(lock, *taken_and_waiting(counted.pop(lock.key, {}))):
            yield fault
    for key, standings in counted.items():
        if any(taken_and_waiting(standings)):
            yield lock_diagnosis.unrecorded(key)


def _attempts(tables: Tables) -> Iterator[Fault]:
    for attempt in tables.attempts.values():
        job = tables.jobs.get(attempt.job_id)
        if job is None:
            of = f"job {attempt.job_id}"
            yield diagnosis.orphan(f"attempt {attempt.token}", attempt.token, of, "attempts")
        elif attempt.is_open and job.token != attempt.token:
            yield diagnosis.attempt_left_open(job.id, attempt.token, f"the job is {job.state} without it")


def _groups(tables: Tables, now: datetime) -> Iterator[Fault]:
    rows = MemoryRows(tables, now)
    for group in tables.groups.values():
        events = tables.events.values()
        yield from diagnosis.faults_of_group(
            group,
            counted=rows.count_members(group.id, group.base_generation, group.generation),
            fillers={token: until for (of, token), until in tables.fillers.items() if of == group.id},
            now=now,
            told={e.kind for e in events if e.group_id == group.id and e.generation == group.generation},
        )
        parent = None if group.parent_id is None else tables.groups.get(group.parent_id)
        yield from diagnosis.faults_of_child(
            group,
            tables.jobs.get(group.id),
            has_open_parent=parent is not None and not parent.is_over,
            now=now,
        )


def _events(tables: Tables, now: datetime) -> Iterator[Fault]:
    for event in tables.events.values():
        if event.group_id not in tables.groups:
            yield diagnosis.orphan(f"event {event.id}", event.id, f"group {event.group_id}", "events")
        elif (fault := diagnosis.fault_of_event(event, now)) is not None:
            yield fault
