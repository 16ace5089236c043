"""Where queued jobs stand: what the store knows of their queues, and what the broker and the workers say."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import AD_HOC
from celery_jobtrack.model.state import QUEUED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.requests import WorkerRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

FARTHEST = 1000
"""Jobs of a queue that are looked at in search of a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a queued job stands; None where nobody knows."""

    ahead: int | None = None
    depth: int | None = None
    is_consumed: bool | None = None


class Queues:
    """The queues of some jobs, each asked for once.

    Args:
        tracker: Whose store and broker are asked.
        now: The store's time.
        workers: All that are recorded, by id.
    """

    def __init__(self, tracker: Tracker, now: datetime, workers: Mapping[str, WorkerRecord]) -> None:
        self._store = tracker.store
        self._ports = tracker.ports
        self._now = now
        self._alive = {w.name for w in workers.values() if w.is_alive(now) and not w.name.startswith(AD_HOC)}
        self._before: dict[str, dict[str, int]] = {}
        self._depths: dict[str, int | None] = {}
        self._is_broker_away = False

    def look_for(self, jobs: Iterable[JobRecord]) -> None:
        """See what is queued before these jobs."""
        latest: dict[str, datetime] = {}
        for job in jobs:
            if job.state in QUEUED and job.queue and job.published_at is not None:
                latest[job.queue] = max(due_at(job), latest.get(job.queue, due_at(job)))
        for queue, last in latest.items():
            # The moment after: the last of them is to be found, too.
            found = self._store.overdue_jobs(queue, last + timedelta(microseconds=1), FARTHEST)
            known = self._before.setdefault(queue, {})
            known.update({job.id: place for place, job in enumerate(found)})

    def place_of(self, job: JobRecord) -> Place:
        """Where a job stands in its queue."""
        if job.state not in QUEUED or not job.queue or job.published_at is None:
            return Place()
        return Place(
            ahead=self._before.get(job.queue, {}).get(job.id),
            depth=self._depth(job.queue),
            is_consumed=self._is_consumed(job.queue),
        )

    def said_of(self, job: JobRecord) -> Iterator[str]:
        """The same in words."""
        place = self.place_of(job)
        due = due_at(job) <= self._now
        if place.ahead and due:
            yield f"{place.ahead:,} before it"
        if place.depth == 0 and due:
            if job.id in self._held:
                yield "a worker has fetched its message and not begun"
            elif job.published_at is not None:
                yield "the broker has no message in that queue: if it is lost, the checker sends it again"
        if place.is_consumed is False:
            yield "nobody consumes that queue"
        if job.copies:
            yield f"published again {job.copies} {'time' if job.copies == 1 else 'times'}"

    def _depth(self, queue: str) -> int | None:
        if queue not in self._depths:
            self._depths[queue] = None
            if not self._is_broker_away:
                try:
                    self._depths[queue] = self._ports.queue_depth(queue)
                except Exception as error:  # noqa: BLE001 - the broker's, whatever it raises
                    self._give_up(error)
        return self._depths[queue]

    def _is_consumed(self, queue: str) -> bool | None:
        """Known to be so if one worker says so; known not to be if all that live answer, and none does."""
        consumed = self._consumed
        if consumed is None:
            return None
        if any(queue in queues for queues in consumed.values()):
            return True
        return False if consumed.keys() >= self._alive else None

    @cached_property
    def _consumed(self) -> Mapping[str, frozenset[str]] | None:
        if self._is_broker_away:
            return None
        try:
            return self._ports.consumed_queues()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)
            return None

    @cached_property
    def _held(self) -> frozenset[str]:
        if self._is_broker_away:
            return frozenset()
        try:
            return self._ports.held_by_workers()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)
            return frozenset()

    def _give_up(self, error: Exception) -> None:
        self._is_broker_away = True
        logger.warning("the broker cannot be asked about queues: %s", error)


def due_at(job: JobRecord) -> datetime:
    """When a job that was published could have started."""
    assert job.published_at is not None
    return job.published_at if job.eta is None else max(job.published_at, job.eta)
