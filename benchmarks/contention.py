"""Processes that start and finish jobs in the store alone, all members of one group or of none."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

from benchmarks import steps
from benchmarks.stores import opened

if TYPE_CHECKING:
    from celery_jobtrack.model.requests import Origin

CHUNK = 500
LONG = 3600.0


def rate(url: str, *, processes: int, jobs: int, grouped: bool) -> float:
    """Jobs for each second that some processes take through their lives, as fast as they can.

    Args:
        url: The store; it is not emptied.
        processes: How many.
        jobs: How many each of them has.
        grouped: Whether all are members of one group.
    """
    origins = _recorded(url, processes * jobs, grouped=grouped)
    context = multiprocessing.get_context("fork")
    ready, spans = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_work, args=(url, origins[number::processes], ready, spans))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    took = [spans.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return processes * jobs / (max(end for _, end in took) - min(begin for begin, _ in took))


def _recorded(url: str, count: int, *, grouped: bool) -> list[Origin]:
    with opened(url) as store:
        group_id = store.create_group(steps.new_group("benchmark")).id if grouped else None
        origins = steps.origins(count, group_id=group_id)
        requests = steps.enqueue_requests(origins)
        for first in range(0, count, CHUNK):
            store.enqueue_many(requests[first : first + CHUNK])
        if group_id is not None:
            store.mark_running(group_id)
            store.begin_filling(group_id, "filler", LONG)
    return origins


def _work(url: str, origins: list[Origin], ready: Any, spans: Any) -> None:
    with opened(url) as store:
        starts = steps.start_requests(origins)
        store.now()
        ready.wait()
        began = time.monotonic()
        for start in starts:
            store.start(start)
            store.finish(steps.finish_request(start))
        spans.put((began, time.monotonic()))
