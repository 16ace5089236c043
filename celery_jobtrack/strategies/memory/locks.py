"""What the memory store answers about locks."""

from __future__ import annotations

from abc import abstractmethod
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.requests import Page
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.contract import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.strategies.memory.rows import Tables

T = TypeVar("T")


class LockAnswers(Store):
    """Listings of keys and of who stands at them."""

    @abstractmethod
    def _read(self, read: Callable[[Tables], T]) -> T:
        """What it reads of the tables, under their lock."""

    def called_jobs(self, limit: int) -> Sequence[str]:
        return self._read(lambda tables: _standing(tables, Standing.CALLED, limit))

    def superseded_jobs(self, limit: int) -> Sequence[str]:
        return self._read(lambda tables: _standing(tables, Standing.SUPERSEDED, limit))

    def due_keys(self, before: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        def read(tables: Tables) -> list[tuple[str, datetime]]:
            due = ((lock.key, lock.due_at) for lock in tables.locks.values() if lock.due_at is not None)
            soon = sorted((at, key) for key, at in due if at <= before)
            return [(key, at) for at, key in soon[:limit]]

        return self._read(read)

    def lock(self, key: str) -> LockRecord | None:
        return self._read(lambda tables: tables.locks.get(key))

    def locks(self, limit: int, cursor: str | None = None) -> Page:
        def read(tables: Tables) -> Page:
            keys = sorted(key for key in tables.locks if cursor is None or key > cursor)
            more = len(keys) > limit
            items = tuple(tables.locks[key] for key in keys[:limit])
            return Page(items=items, cursor=keys[limit - 1] if more else None)

        return self._read(read)

    def places(self, key: str, limit: int) -> Sequence[Place]:
        def read(tables: Tables) -> list[Place]:
            here = [place for place in tables.places.values() if place.key == key]
            here.sort(key=lambda place: (not place.takes, place.order))
            return here[:limit]

        return self._read(read)

    def prune_locks(self, idle_before: datetime, limit: int) -> int:
        def delete(tables: Tables) -> int:
            idle = (lock for lock in tables.locks.values() if lock.may_be_forgotten(idle_before))
            gone = [lock.key for lock in islice(idle, limit)]
            for key in gone:
                del tables.locks[key]
            return len(gone)

        return self._read(delete)


def _standing(tables: Tables, standing: Standing, limit: int) -> list[str]:
    """Parked jobs that stand so at the key for which they wait."""
    places = sorted(tables.places.values(), key=lambda place: (place.since, place.job_id))
    return [place.job_id for place in places if place.standing is standing and _waits_for(tables, place)][
        :limit
    ]


def _waits_for(tables: Tables, place: Place) -> bool:
    job = tables.jobs.get(place.job_id)
    return job is not None and job.state is JobState.WAITING and job.waits_for == place.key
