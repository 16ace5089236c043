"""What follows from the events of a group, whoever listens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import EventKind, GroupState
from celery_jobtrack.tracking.callbacks import Callbacks
from celery_jobtrack.tracking.closing import Closing
from celery_jobtrack.tracking.sweeper import Sweeper

if TYPE_CHECKING:
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.tracking.tracker import Tracker


class Consequences:
    """Publishes callbacks, tells parents, ends what a failure has cancelled, closes what is done.

    All of it may be done twice, as an event may be delivered twice.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._callbacks = Callbacks(tracker)
        self._closing = Closing(tracker)

    def of(self, event: EventRecord, group: GroupRecord) -> None:
        """Do what has to be done before the event counts as delivered.

        Raises:
            Exception: The broker's: do it again later.
        """
        self._callbacks.publish(event, group)
        if event.kind is EventKind.STARTED and group.parent_id is not None:
            self._start_parent(group.parent_id)
        elif event.kind is EventKind.FAILED and group.cancels_on_failure:
            # The first chunk; the others are the checker's.
            Sweeper(self._tracker).cancel_members(group.id)

    def after(self, event: EventRecord, group: GroupRecord) -> None:
        """Do what may follow once the event is delivered, and what the checker would do otherwise."""
        if event.kind is EventKind.COMPLETED and group.needs_closing:
            self._closing.look_at(group.id)

    def _start_parent(self, parent_id: str) -> None:
        parent = self._tracker.store.group(parent_id)
        if parent is not None and parent.state is GroupState.AWAITING:
            self._tracker.change_group(self._tracker.store.mark_running(parent_id))
