"""All queues at one moment: what the broker holds, what the store knows of it, who consumes."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.queue import QueueDepth, QueueStatus
from celery_jobtrack.model.requests import AD_HOC, JobQuery
from celery_jobtrack.tracking.queues import due_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

LOOKED_AT = 1000
"""The newest jobs, from which rates are taken. They are one page of the listing by time, on every store."""

_SETTLED = 0.1
"""Share of the window that no job may have waited for, so that what was sent in it is what started in it."""
_MOMENT = timedelta(microseconds=1)
"""What is due now is to be found, too."""


class QueueSurvey:
    """Asks the broker once, the store twice and once for each queue, and the workers once.

    Args:
        tracker: Whose store and broker are asked.
        window: Seconds that the rates are of.
    """

    def __init__(self, tracker: Tracker, *, window: float) -> None:
        self._store = tracker.store
        self._ports = tracker.ports
        self._window = window

    def take(self) -> Sequence[QueueStatus]:
        """Every queue that the app declares, a worker consumes, somebody paused, or a job waits in.

        Levels come first, in their order, and the others by their names.
        """
        now = self._store.now()
        consumed = self._consumed(now)
        levels = self._ports.levels_by_queue()
        paused = {halt.name: halt for halt in self._store.halts() if halt.kind is HaltKind.QUEUE}
        named = {
            *paused,
            *self._ports.declared_queues(),
            *self._store.overdue_queues(now + _MOMENT),
            *(queue for queues in (consumed or {}).values() for queue in queues),
        }
        names = [*levels, *sorted(named - levels.keys())]
        depths = self._depths(names)
        page = self._store.jobs(JobQuery(limit=LOOKED_AT))
        newest, window = list(page.items), self._window
        if page.cursor is not None and newest:
            # More than one page in the window: the rates are of the time that the page spans.
            window = min(window, max((now - _recorded_at(newest[-1], now)).total_seconds(), 0.001))
        since = now - timedelta(seconds=window)
        recent = [job for job in newest if job.published_at is not None and job.published_at >= since]
        alive = self._alive(now)
        return [
            QueueStatus(
                name=name,
                levels=levels.get(name, ()),
                ready=depths[name].ready,
                unacked=depths[name].unacked,
                consumers=_consumers(name, consumed, alive),
                window=window,
                paused=paused.get(name),
                **self._times(name, now, [job for job in recent if job.queue == name], window),
            )
            for name in names
        ]

    def _times(self, queue: str, now: datetime, recent: Sequence[JobRecord], window: float) -> dict[str, Any]:
        waiting = self._store.overdue_jobs(queue, now + _MOMENT, 1)
        oldest_at = due_at(waiting[0]) if waiting else None
        oldest_age = None if oldest_at is None else max((now - oldest_at).total_seconds(), 0.0)
        waits = [wait for job in recent if (wait := _waited(job)) is not None]
        longest = max([oldest_age or 0.0, *waits])
        return {
            "oldest_at": oldest_at,
            "oldest_age": oldest_age,
            "rate_in": len(recent) / window,
            "rate_out": len(waits) / window if longest <= window * _SETTLED else None,
            "wait": sum(waits) / len(waits) if waits else None,
        }

    def _depths(self, names: Iterable[str]) -> Mapping[str, QueueDepth]:
        names = list(names)
        try:
            return self._ports.queue_depths(names)
        except Exception as error:  # noqa: BLE001 - the broker's, whatever it raises
            logger.warning("the broker cannot be asked about queues: %s", error)
            return dict.fromkeys(names, QueueDepth())

    def _consumed(self, now: datetime) -> Mapping[str, frozenset[str]] | None:
        if not self._alive(now):
            return {}  # nobody whom one could wait for
        try:
            return self._ports.consumed_queues()
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("the workers cannot be asked about queues: %s", error)
            return None

    def _alive(self, now: datetime) -> frozenset[str]:
        workers = self._store.workers()
        return frozenset(w.name for w in workers if w.is_alive(now) and not w.name.startswith(AD_HOC))


def _consumers(
    queue: str, consumed: Mapping[str, frozenset[str]] | None, alive: frozenset[str]
) -> int | None:
    """Of a queue that nobody names, nobody knows unless all that live have answered."""
    if consumed is None:
        return None
    number = sum(queue in queues for queues in consumed.values())
    return number if number or consumed.keys() >= alive else None


def _recorded_at(job: JobRecord, now: datetime) -> datetime:
    return job.enqueued_at or job.started_at or job.finished_at or now


def _waited(job: JobRecord) -> float | None:
    if job.started_at is None or job.published_at is None or job.started_at < job.published_at:
        return None
    return max((job.started_at - due_at(job)).total_seconds(), 0.0)
