"""Delivers the events of groups: sees to what follows from them, and calls their listeners."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery_jobtrack import events
from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.state import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blinker import Signal

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.consequences import Consequences
    from celery_jobtrack.tracking.ports import Ports

logger = logging.getLogger(__name__)

TRIES = 8
"""After so many failed deliveries an event is kept as undeliverable."""
FIRST_WAIT = 5.0
"""Seconds before the second try; each further wait is twice the one before."""
LONGEST_WAIT = 60.0
"""Seconds between two tries of what follows from an event, which is never given up."""

_SIGNALS: dict[EventKind, Signal] = {
    EventKind.STARTED: events.job_group_started,
    EventKind.COMPLETED: events.job_group_completed,
}


class Delivery:
    """At least once, and of each group in the order of writing.

    Args:
        store: Where the events are.
        ports: Who is told.
        consequences: What follows from an event, whoever listens.
    """

    def __init__(self, store: Store, ports: Ports, consequences: Consequences) -> None:
        self._store = store
        self._ports = ports
        self._consequences = consequences

    def deliver(self, claimed: Sequence[EventRecord]) -> int:
        """Deliver these events, and those that only they were holding back.

        Returns:
            How many were delivered.
        """
        waiting = list(claimed)
        delivered = 0
        while waiting:
            event = waiting.pop(0)
            group = self._store.group(event.group_id)
            if group is not None and not (self._see_to(event, group) and self._tell(event, group)):
                continue
            waiting += self._store.acknowledge_event(event.id, self._store.claimant)
            delivered += 1
            if group is not None:
                self._consequences.after(event, group)
        return delivered

    def deliver_due(self, limit: int = 50) -> int:
        """Claim and deliver what nobody delivers. Returns how many were delivered."""
        return self.deliver(self._store.claim_events(self._store.claimant, limit=limit))

    def _see_to(self, event: EventRecord, group: GroupRecord) -> bool:
        """What has to follow. If it cannot be done now, it is done later, and nobody is told before."""
        try:
            self._consequences.of(event, group)
        except StoreUnavailable:
            raise
        except Exception as error:  # the broker's, whatever it raises
            logger.exception("what follows from %s of group %s must wait", event.kind, event.group_id)
            seconds = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(event.tries, TRIES))
            self._store.postpone_event(event.id, f"{type(error).__name__}: {error}", seconds=seconds)
            return False
        return True

    def _tell(self, event: EventRecord, record: GroupRecord) -> bool:
        signal = _SIGNALS.get(event.kind)
        if signal is None:
            return True
        group, sender = self._ports.group_for(record), self._ports.sender
        failed: Exception | None = None
        for receiver in signal.receivers_for(sender):
            try:
                receiver(sender, group=group, event_id=event.id, generation=event.generation)
            except Exception as error:  # the other listeners are called all the same
                logger.exception(
                    "listener %r of %s raised for group %s", receiver, event.kind, event.group_id
                )
                failed = failed or error
        if failed is not None:
            self._postpone(event, failed)
        return failed is None

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
