"""The record of an event: written with the transition that causes it, delivered afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.state import EventKind, GroupOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """How many events somebody should still deliver, and how many were given up."""

    pending: int = 0
    undeliverable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a change of a group causes: an event that is not written yet."""

    kind: EventKind
    step: int = 0
    """``PROGRESSED``: how many members had ended. A generation has one event of a kind and a step."""
    outcome: GroupOutcome | None = None
    """``COMPLETED``: what the generation came to."""
    job_id: str | None = None
    """``FAILED``: the first member that failed; None if it is the dispatch that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event of a group's generation. ``id`` is stable, however often it is delivered."""

    id: str
    kind: EventKind
    group_id: str
    generation: int
    step: int = 0
    outcome: GroupOutcome | None = None
    job_id: str | None = None
    """``step``, ``outcome`` and ``job_id`` as in ``Cause``."""
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
