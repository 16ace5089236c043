"""How long workers have been there, in all: a queue that nobody consumes loses nothing by waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import AD_HOC

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from celery_jobtrack.model.requests import WorkerRecord
    from celery_jobtrack.strategies.contract import Store


def present_since(store: Store, wait: timedelta) -> datetime | None:
    """The latest time since which some worker has been there for ``wait``, gaps left out; None: never.

    It is read from the records of workers, those that are gone included. So it does not matter who asks,
    nor whether one worker was there for so long or ten, one after the other.
    """
    now = store.now()
    if any(now - worker.registered_at >= wait for worker in _consuming(store.workers())):
        return now - wait
    workers = _consuming(store.workers(alive=False))
    spans = [(worker.registered_at, _last_seen(worker, now)) for worker in workers]
    spans.sort(key=lambda span: span[1], reverse=True)
    left, counted_from = wait, now
    for begin, end in spans:
        # They come by their ends: of one that overlaps others, what is not counted yet is its beginning.
        until = min(end, counted_from)
        if begin >= until:
            continue
        if until - begin >= left:
            return until - left
        left -= until - begin
        counted_from = begin
    return None


def _consuming(workers: Iterable[WorkerRecord]) -> Iterable[WorkerRecord]:
    return (worker for worker in workers if not worker.name.startswith(AD_HOC))


def _last_seen(worker: WorkerRecord, now: datetime) -> datetime:
    """Its lease ends with a goodbye; one that was killed had a lease for longer than it was there."""
    if worker.is_alive(now):
        return now
    return worker.lease_until if worker.lease_until == worker.stopped_at else worker.heartbeat_at
