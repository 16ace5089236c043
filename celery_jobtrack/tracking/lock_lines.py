"""Where parked jobs stand: who has the lock for which each waits, and how many wait before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from celery_jobtrack.model.explanation import LockExplanation, LockHolder
from celery_jobtrack.model.halt import is_gate
from celery_jobtrack.model.lock import Kind, Standing
from celery_jobtrack.model.spans import span
from celery_jobtrack.tracking.halted import Halted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.model.requests import WorkerRecord
    from celery_jobtrack.strategies.contract import Store

KEYS = 20
"""Keys that are looked at for one answer; of the others it says only what the waiting job knows."""
FARTHEST = 500
"""Places at a key that are looked at in search of a job's."""
HOLDERS = 3
"""Of those who have a key, so many are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What was read of a key."""

    record: LockRecord | None
    places: Sequence[Place]
    holders: tuple[LockHolder, ...]

    @property
    def more(self) -> int:
        """How many have it who are not named."""
        return 0 if self.record is None else max(0, self.record.taken - len(self.holders))


class LockLines:
    """The keys of some jobs, each asked for once.

    Args:
        store: What is asked.
        now: Its time.
        workers: All that are recorded, by id.
    """

    def __init__(self, store: Store, now: datetime, workers: Mapping[str, WorkerRecord]) -> None:
        self._store = store
        self._now = now
        self._workers = workers
        self._keys: dict[str, _Key] = {}

    def explain(self, job: JobRecord) -> LockExplanation | None:
        """For whom a parked job waits; None if it waits for no lock."""
        if job.waits_for is None:
            return None
        key = self._key(job.waits_for)
        if key is None:
            behind = f", behind job {job.blocked_by}" if job.blocked_by else ""
            said = f"waits for the lock {job.waits_for!r}{behind}"
            return LockExplanation(key=job.waits_for, said=said)
        mine = next((place for place in key.places if place.job_id == job.id), None)
        line = [place.job_id for place in key.places if place.standing is Standing.WAITING]
        position = line.index(job.id) + 1 if job.id in line else None
        said = (
            self._halted.said_of_gate(job)
            if is_gate(job.waits_for)
            else "; ".join([self._said_of_place(job, key, mine, position), *self._said_of_holders(key)])
        )
        return LockExplanation(
            key=job.waits_for,
            said=said,
            holders=key.holders,
            more_holders=key.more,
            standing=None if mine is None else mine.standing,
            since=None if mine is None else mine.since,
            position=position,
            waiting=0 if key.record is None else key.record.waiting,
        )

    @cached_property
    def _halted(self) -> Halted:
        return Halted(self._store, self._now)

    def _key(self, key: str) -> _Key | None:
        found = self._keys.get(key)
        if found is None and len(self._keys) < KEYS:
            places = self._store.places(key, FARTHEST)
            taken = [place for place in places if place.takes][:HOLDERS]
            holders = tuple(self._holder(place) for place in taken)
            found = _Key(record=self._store.lock(key), places=places, holders=holders)
            self._keys[key] = found
        return found

    def _holder(self, place: Place) -> LockHolder:
        job = self._store.job(place.job_id)
        attempt = None if job is None or job.token is None else self._open_attempt(job)
        worker = None if attempt is None else self._workers.get(attempt.worker_id)
        return LockHolder(
            job_id=place.job_id,
            task=None if job is None else job.task,
            state=None if job is None else job.state,
            is_called=place.standing is Standing.CALLED,
            since=place.since,
            worker=None if attempt is None else attempt.worker,
            is_worker_alive=None if attempt is None else worker is not None and worker.is_alive(self._now),
        )

    def _open_attempt(self, job: JobRecord) -> Attempt | None:
        return next((a for a in reversed(self._store.attempts(job.id)) if a.is_open), None)

    # -- in words ----------------------------------------------------------------------------------

    def _said_of_place(self, job: JobRecord, key: _Key, mine: Place | None, position: int | None) -> str:
        waits = self._said_of_waiting(job, key)
        waiting = 0 if key.record is None else key.record.waiting
        if position is not None:
            return f"{waits}, number {position:,} of {max(position, waiting):,} in line"
        if mine is None and len(key.places) >= FARTHEST:
            return f"{waits}, far behind in a line of {waiting:,}"
        if mine is None:
            # It may have moved since its record was read.
            current = self._store.job(job.id)
            if current is None or current.waits_for != job.waits_for:
                return f"has just left the line of the lock {job.waits_for!r}"
            return f"{waits}, and is not in its line: run jobtrack doctor --repair"
        if mine.takes:
            return f"{waits}, and has its turn: it is about to be sent"
        return f"{waits}, where a newer job took its place: it is about to be skipped"

    def _said_of_waiting(self, job: JobRecord, key: _Key) -> str:
        kind = Kind.SLOTS if key.record is None else key.record.kind
        if kind is Kind.CLOCK:
            return "waits in the store until it is due" + self._said_of_time(job.eta)
        if kind is Kind.RATE:
            due_at = None if key.record is None else key.record.due_at
            return f"waits for the rate {job.waits_for!r}, which lets one start" + self._said_of_time(due_at)
        if kind is Kind.QUEUE:
            return "waits for jobs with an earlier deadline to start"
        return f"waits for the lock {job.waits_for!r}"

    def _said_of_time(self, at: datetime | None) -> str:
        if at is None:
            return ""
        seconds = (at - self._now).total_seconds()
        return f" in {span(seconds)}" if seconds > 0 else " now"

    def _said_of_holders(self, key: _Key) -> Iterator[str]:
        for holder in key.holders:
            yield self._said_of_holder(holder)
        if key.holders and key.more:
            yield f"{key.more:,} more have it"
        elif key.more:
            # Some stores do not show who stands at a key without being recorded.
            yield "who has it is not recorded: run jobtrack doctor if that stays so"
        elif not key.holders and _is_lock(key.record):
            yield "nobody has it"

    def _said_of_holder(self, holder: LockHolder) -> str:
        if holder.state is None:
            return f"job {holder.job_id} has it, and is not recorded: run jobtrack doctor if that stays so"
        name = f"job {holder.job_id} ({holder.task})"
        lasts = span(max(0.0, (self._now - holder.since).total_seconds()))
        if holder.state.is_final:
            return f"{name} has it, and has ended as {holder.state}: run jobtrack doctor if that stays so"
        if holder.is_called:
            return f"{name} has had its turn for {lasts}, and has not started"
        if holder.worker is None:
            return f"{name} has it for {lasts}, and is {holder.state}"
        gone = "" if holder.is_worker_alive else ", which is gone: the checker will end it"
        return f"{name} has it for {lasts} on {holder.worker}{gone}"


def _is_lock(record: LockRecord | None) -> bool:
    """Whether it is one that somebody has while he runs."""
    return record is None or record.kind in {Kind.SLOTS, Kind.UNIQUE}
