"""What is known of a queue at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.halt import Halt


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """What a broker says of a queue; None where it cannot tell."""

    ready: int | None = None
    """Messages that no worker has fetched, of all priorities."""
    unacked: int | None = None
    """Messages that workers have fetched and not acknowledged, which the broker still has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue at one moment; None where nobody knows."""

    name: str
    levels: tuple[str, ...] = ()
    """The levels of ``jobtrack_queues`` that are in it."""
    ready: int | None = None
    """Messages that no worker has fetched, of all priorities."""
    unacked: int | None = None
    """Messages that workers have fetched and not acknowledged, where the broker tells them apart."""
    oldest_at: datetime | None = None
    """Since when the tracked job that has waited longest could have started; None if none waits."""
    oldest_age: float | None = None
    """The same in seconds before now."""
    rate_in: float | None = None
    """Tracked jobs sent to it, each second."""
    rate_out: float | None = None
    """Tracked jobs of it that started, each second; None where jobs wait longer than a tenth of the window,
    and what started in it cannot be told from what was sent in it."""
    wait: float | None = None
    """Mean seconds from sending to start, of those sent within the window that have started."""
    window: float = 0.0
    """Seconds that the rates and the wait are of: those that were asked for, or less if there was much."""
    consumers: int | None = None
    """Workers that say that they consume from it."""
    paused: Halt | None = None
    """Since when it is paused, and why."""
