"""The record of an event: written with the transition that causes it, delivered afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.state import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """How many events somebody should still deliver, and how many were given up."""

    pending: int = 0
    undeliverable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event of a group's generation. ``id`` is stable, however often it is delivered."""

    id: str
    kind: EventKind
    group_id: str
    generation: int
    seq: int
    """The order of writing: of two events of a group the lower comes first."""
    created_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    """Who is delivering it, and until when nobody else may."""
    tries: int = 0
    delivered_at: datetime | None = None
    undeliverable: bool = False
    error: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether somebody should still deliver it."""
        return self.delivered_at is None and not self.undeliverable

    def evolve(self, **changes: Any) -> EventRecord:
        """A copy with ``changes``."""
        return replace(self, **changes)
