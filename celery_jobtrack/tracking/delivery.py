"""Delivers the events of groups to their listeners: at least once, in their order."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack import events
from celery_jobtrack.model.state import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blinker import Signal

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.ports import Ports

logger = logging.getLogger(__name__)

TRIES = 8
"""After so many failed deliveries an event is kept as undeliverable."""
FIRST_WAIT = 5.0
"""Seconds before the second try; each further wait is twice the one before."""

_SIGNALS: dict[EventKind, Signal] = {
    EventKind.STARTED: events.job_group_started,
    EventKind.COMPLETED: events.job_group_completed,
}


class Delivery:
    """Calls the listeners of events that this process has claimed."""

    def __init__(self, store: Store, ports: Ports) -> None:
        self._store = store
        self._ports = ports

    def deliver(self, claimed: Sequence[EventRecord]) -> int:
        """Deliver these events, and those that only they were holding back.

        Returns:
            How many were delivered.
        """
        waiting = list(claimed)
        delivered = 0
        while waiting:
            event = waiting.pop(0)
            error = self._call_listeners(event)
            if error is None:
                waiting += self._store.acknowledge_event(event.id, self._store.claimant)
                delivered += 1
            else:
                self._postpone(event, error)
        return delivered

    def deliver_due(self, limit: int = 50) -> int:
        """Claim and deliver what nobody delivers. Returns how many were delivered."""
        return self.deliver(self._store.claim_events(self._store.claimant, limit=limit))

    def _call_listeners(self, event: EventRecord) -> Exception | None:
        record = self._store.group(event.group_id)
        if record is None:
            return None
        group, sender, signal = self._ports.group_for(record), self._ports.sender, _SIGNALS[event.kind]
        failed: Exception | None = None
        for receiver in signal.receivers_for(sender):
            try:
                receiver(sender, group=group, event_id=event.id, generation=event.generation)
            except Exception as error:  # the other listeners are called all the same
                logger.exception(
                    "listener %r of %s raised for group %s", receiver, event.kind, event.group_id
                )
                failed = failed or error
        return failed

    def _postpone(self, event: EventRecord, error: Exception) -> None:
        last = event.tries + 1 >= TRIES
        seconds = None if last else FIRST_WAIT * 2**event.tries
        self._store.postpone_event(event.id, f"{type(error).__name__}: {error}", seconds=seconds)
        if last:
            logger.error(
                "event %s (%s of group %s) failed %d times and is not tried again",
                event.id,
                event.kind,
                event.group_id,
                TRIES,
            )
