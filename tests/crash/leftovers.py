"""What a round may leave behind when all of its processes are gone: nothing but what runs out by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.tracking.checker import LEASE as CHECKER
from celery_jobtrack.tracking.checker import SHORTEST_LEASE
from tests.crash.accounts import Problem
from tests.crash.pruning import prune_everything, what_is_left
from tests.crash.stage import HOLD, LEASE
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from celery_jobtrack import JobTrack
    from tests.crash.staff import Staff

MARGIN = 3.0
"""Seconds beyond the time in which something runs out."""
PROBE = "crash-probe"


def look_for_leftovers(
    staff: Staff, jobtrack: JobTrack, groups: Sequence[Any], spool: Path
) -> Iterator[Problem]:
    """Everything that is still there after it should have gone."""
    remains = staff.remains()
    if remains:
        yield Problem(kind="process left", what="; ".join(map(str, remains)))
    store = jobtrack.runtime.store
    if not _within(LEASE + MARGIN, lambda: not jobtrack.inspect.workers()):
        yield Problem(kind="worker left", what=f"alive are {jobtrack.inspect.workers()}")
    if not _within(SHORTEST_LEASE + MARGIN, lambda: store.acquire_lease(CHECKER, PROBE, 1.0)):
        yield Problem(kind="lease left", what="nobody can have the checker's lease")
    store.release_lease(CHECKER, PROBE)
    for group in groups:
        if not _within(HOLD + MARGIN, lambda group=group: not group.status().filling):
            yield Problem(kind="hold left", what=f"{group.record.title!r} is still held open")
    spooled = [path for path in spool.rglob("*") if path.is_file() and path.stat().st_size]
    if spooled:
        yield Problem(
            kind="spool left", what=", ".join(f"{path} ({path.stat().st_size} bytes)" for path in spooled)
        )


def look_for_unpruned(jobtrack: JobTrack, store_url: str) -> Iterator[Problem]:
    """What no pruning finds. Everything is deleted by it, so it comes last."""
    prune_everything(jobtrack.runtime.store)
    left = what_is_left(store_url)
    if left:
        yield Problem(kind="not pruned", what=str(left))
    inspect = jobtrack.inspect
    counted = [*inspect.counts().values(), *inspect.group_counts().values()]
    if any(counted) or inspect.event_counts() != EventCounts():
        what = f"{inspect.counts()}, {inspect.group_counts()}, {inspect.event_counts()}"
        yield Problem(kind="not pruned", what=f"an empty store counts {what}")


def _within(seconds: float, holds: Any) -> bool:
    try:
        wait_until(holds, seconds)
    except AssertionError:
        return False
    return True
