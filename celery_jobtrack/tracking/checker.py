"""The checker: what is done, every few seconds and by one process at a time, about what went wrong."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.tracking.abandoned import Abandoned
from celery_jobtrack.tracking.pruner import Pruner
from celery_jobtrack.tracking.reaper import Reaper
from celery_jobtrack.tracking.republisher import Republisher
from celery_jobtrack.tracking.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.config import Settings
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

LEASE = "checker"
SHORTEST_LEASE = 5.0
"""Seconds; a tick that takes longer than its lease may meet another one, which every step allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one tick did."""

    lost: int = 0
    """Attempts closed because their worker is gone."""
    expired: int = 0
    cancelled: int = 0
    """Queued members of cancelled groups that were ended."""
    republished: int = 0
    """Messages sent again."""
    called: int = 0
    """Parked jobs whose turn had come, and of whom nobody had seen to it."""
    groups: int = 0
    """Groups recomputed."""
    repaired: int = 0
    """Groups whose counters were wrong."""
    delivery: bool = False
    """Whether events were waiting to be delivered."""
    pruned: int = 0
    """Jobs, groups and workers deleted because they were old."""
    failed: tuple[str, ...] = ()
    """Steps that raised; the log has the reason."""


class Checker:
    """Runs every step of upkeep under a lease, so that any number of checkers may compete.

    Args:
        tracker: Whose store is kept up.
        settings: For the intervals.
    """

    def __init__(self, tracker: Tracker, settings: Settings) -> None:
        self._tracker = tracker
        self._lease = max(SHORTEST_LEASE, 3 * settings.check_interval)
        self._holder = uuid.uuid4().hex
        self._reaper = Reaper(tracker, settings)
        self._republisher = Republisher(tracker, settings.lost_message_after)
        self._sweeper = Sweeper(tracker)
        self._pruner = Pruner(tracker)
        self._abandoned = Abandoned(tracker)

    def tick(self) -> Tick | None:
        """Do what is due.

        Returns:
            What was done; None when another checker holds the lease.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if not self._tracker.store.acquire_lease(LEASE, self._holder, self._lease):
            return None
        failed: list[str] = []

        def step(name: str, work: Callable[[], int]) -> int:
            try:
                return work()
            except StoreUnavailable:
                raise
            except Exception:  # the other steps are due all the same
                logger.exception("the checker's step %r failed; it is tried again at the next tick", name)
                failed.append(name)
                return 0

        # First, because a store that is full takes little else until something is gone.
        pruned = step("delete what is old", self._pruner.tick)
        # After an outage of the store what happened meanwhile is still being recorded, from the spools of
        # the machines: what looks lost or late may have run.
        is_calm = self._reaper.observe() and self._tracker.ports.nothing_kept()
        lost = step("reap lost workers", self._reaper.tick) if is_calm else 0
        expired = step("end expired jobs", self._sweeper.expire) if is_calm else 0
        republished = step("publish lost messages again", self._republisher.tick) if is_calm else 0
        cancelled = step("end members of cancelled groups", self._sweeper.cancel)
        called = step("call who waits for a lock", self._tracker.turns.tick)
        repaired: list[str] = []
        groups = step("recompute groups", lambda: self._recompute(repaired))
        delivery = step("deliver events", self._deliver)
        return Tick(
            lost=lost,
            expired=expired,
            cancelled=cancelled,
            republished=republished,
            called=called,
            groups=groups,
            repaired=len(repaired),
            delivery=bool(delivery),
            pruned=pruned,
            failed=tuple(failed),
        )

    def hand_over(self) -> None:
        """Give the lease back, so that another checker need not wait for its end."""
        self._tracker.store.release_lease(LEASE, self._holder)

    def _recompute(self, repaired: list[str], limit: int = 200) -> int:
        due = self._tracker.store.due_groups(limit)
        for group_id in due:
            try:
                changed = self._tracker.change_group(self._tracker.store.recompute_group(group_id))
            except StoreUnavailable:
                raise
            except Exception:  # one that cannot be recomputed must not keep the others waiting
                logger.exception("group %s cannot be recomputed", group_id)
                continue
            if changed.repaired is not None:
                repaired.append(group_id)
                logger.error(
                    "the counters of group %s were wrong and are mended (%s): that is seen after "
                    "records of jobs were deleted by hand or dropped by the server, as a Redis without "
                    "maxmemory-policy noeviction does; otherwise please report this bug",
                    group_id,
                    changed.repaired,
                )
            self._follow(changed.group)
        return len(due)

    def _follow(self, group: GroupRecord) -> None:
        """What somebody should have done to the group, and died before."""
        try:
            self._abandoned.look_at(group)
            self._tracker.closing.catch_up(group)
        except StoreUnavailable:
            raise
        except Exception:  # the broker may be away, or one callback cannot be sent
            logger.exception("what is to be done about group %s must wait", group.id)

    def _deliver(self) -> int:
        if not self._tracker.store.has_due_events():
            return 0
        if self._tracker.ports.delivers_here():
            self._tracker.delivery.deliver_due()
        else:
            self._tracker.ports.request_delivery()
        return 1
