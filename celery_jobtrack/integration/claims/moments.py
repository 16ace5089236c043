"""What a job claims because of a moment: its deadline, or that it is due much later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import Claim, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

DEADLINES, CLOCKS = "deadline", "clock"
SENT_BEFORE = 2.0
"""Seconds before it is due that a parked job is sent; its worker waits for the moment, as Celery's do."""


def deadline_claim(queue: str | None, deadline: datetime, ahead: int) -> Claim:
    """Of a job with a deadline: a few of its queue are on their way to a worker at a time.

    Args:
        queue: Where it is sent to.
        deadline: By when it shall start.
        ahead: How many may be on their way.
    """
    key = f"{DEADLINES}:{queue or ''}"
    return Claim(key=key, kind=Kind.QUEUE, limit=ahead, until_start=True, at=deadline)


def clock_claim(eta: datetime) -> Claim:
    """Of a job that is due much later: it is sent shortly before.

    Those that are due in the same hour wait in one line.
    """
    at = eta - timedelta(seconds=SENT_BEFORE)
    return Claim(key=f"{CLOCKS}:{at:%Y-%m-%dT%H}", kind=Kind.CLOCK, until_start=True, at=at)


def is_far(eta: datetime | None, park_after: float | None, now: datetime) -> bool:
    """Whether a job that is due then is kept in the store until then.

    Args:
        eta: When it is due.
        park_after: ``jobtrack_park_after``, in seconds; None keeps none.
        now: The time.
    """
    return eta is not None and park_after is not None and eta - now > timedelta(seconds=park_after)


def counts_starts(claims: Iterable[Claim]) -> bool:
    """Whether the start of a job with these claims says when the next one may start."""
    return any(claim.kind is Kind.RATE for claim in claims)


def needs_the_store(claims: Iterable[Claim]) -> bool:
    """Whether a job cannot start without the store: it claims more than was asked for at its dispatch."""
    return any(not claim.from_dispatch for claim in claims)
