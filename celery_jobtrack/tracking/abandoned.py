"""Groups whose filler died: nobody else would say that they lack members."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.pledge import pledges, without_pledges
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import GroupState, JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

YOUNGEST = 50
"""How many groups in a group are looked at. What is filled at its filler's death was made last."""


class Abandoned:
    """Whoever fills a group holds it open, and lets go when all is sent or has failed.

    So a hold that has run out is that of a process which died, or which was not heard of for as long as
    its lease. A batch that waits for its seal is sealed as incomplete then. The present generation of any
    other group is incomplete if the filler left a pledge for it. A group that is filled by hand without
    ``filling()`` has neither, and is left alone.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def look_at(self, group: GroupRecord) -> bool:
        """Record that a group is incomplete if its filler died. Returns whether it was so."""
        store = self._tracker.store
        found = store.fillers(group.id)
        if not found:
            return False
        now = store.now()
        broken = [pledge for pledge in pledges(found) if not pledge.is_kept(found, now)]
        holds = without_pledges(found)
        lacks = any(pledge.generation == group.generation for pledge in broken)
        by_somebody = group.state is GroupState.CANCELLED and group.first_failure is None
        if not group.standing and not group.sealed and holds and max(holds.values()) <= now:
            # Where somebody cancelled it, that it is not sealed says that it lacks members.
            lacks = lacks or not by_somebody
        # One that is over was to be filled for its next generation, of which nothing was recorded.
        lacks = lacks and not group.is_over
        if lacks and self._waits_for_one_inside(group, holds):
            return False
        if lacks:
            kind = "group" if group.standing else "batch"
            logger.error(
                "%s %r (%s) was not dispatched whole: the process that did so is gone",
                kind,
                group.title,
                group.id,
            )
            self._tracker.change_group(store.seal_group(group.id, incomplete=True))
        # Behind the record of what it meant: should this process die now, the next one finds it again.
        for pledge in broken:
            self._tracker.change_group(store.end_filling(group.id, pledge.token))
        return lacks

    def _waits_for_one_inside(self, group: GroupRecord, holds: Mapping[str, datetime]) -> bool:
        """See to the groups inside first. Returns whether one of them is still being filled.

        Who fills a group inside of another one holds both, and the holds of one that died run out at
        different times. Being incomplete may cancel the outer one and so the inner one, which would be taken
        for cancelled instead of incomplete.
        """
        if group.state is GroupState.CANCELLED:
            return False
        store = self._tracker.store
        until = max(self._still_filled(group), default=None)
        if until is None:
            return False
        if holds:
            # It is looked at again when that has run out.
            last = max(holds, key=lambda token: holds[token])
            store.begin_filling(group.id, last, max(0.0, (until - store.now()).total_seconds()))
        return True

    def _still_filled(self, group: GroupRecord) -> Iterator[datetime]:
        """Until when each group inside is held open by somebody who was heard of."""
        store = self._tracker.store
        query = JobQuery(group_id=group.id, state=JobState.ENQUEUED, task=GROUP_TASK, limit=YOUNGEST)
        for job in store.jobs(query).items:
            child = store.group(job.id)
            if child is None or child.is_over or self.look_at(child):
                continue
            holds = without_pledges(store.fillers(child.id))
            if holds and max(holds.values()) > store.now():
                yield max(holds.values())
