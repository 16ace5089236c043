"""Seals batches whose dispatcher died: nobody else would, and they would wait for members for ever."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.model.state import GroupState

if TYPE_CHECKING:
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class Abandoned:
    """Whoever fills a batch holds it open, and lets go when all is sent or has failed.

    So a hold that has run out is that of a process which died, or which was not heard of for as long as
    its lease. A batch that is filled by hand without ``filling()`` has no hold, and is left alone.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def look_at(self, group: GroupRecord) -> bool:
        """Seal a batch as incomplete if all holds on it have run out. Returns whether it did."""
        if group.standing or group.sealed or group.is_over:
            return False
        if group.state is GroupState.CANCELLED and group.first_failure is None:
            return False  # somebody cancelled it: that it is not sealed says that it lacks members
        store = self._tracker.store
        holds = store.fillers(group.id)
        if not holds or max(holds.values()) > store.now():
            return False
        logger.error(
            "batch %r (%s) was not dispatched whole: the process that did so is gone", group.title, group.id
        )
        self._tracker.change_group(store.seal_group(group.id, incomplete=True))
        return True
