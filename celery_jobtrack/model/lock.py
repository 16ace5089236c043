"""Locks: what a job claims before its body may run, and who stands at a key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HIGHEST_PRIORITY = 9


class OnConflict(str, Enum):
    """What becomes of a job whose key is taken."""

    SKIP = "skip"
    """It ends as ``SKIPPED(overlap)``."""
    RAISE = "raise"
    """``Overlapping`` at its dispatch; at its start it is skipped, as nobody is there to catch it."""
    WAIT = "wait"
    """It is parked in the store until it is its turn: the highest priority first, then first come."""
    LATEST = "latest"
    """It is parked in the place of whoever waits: of those that wait, only the newest runs."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a job asks for: one of ``limit`` places at a key, for as long as it runs."""

    key: str
    limit: int = 1
    on_conflict: OnConflict = OnConflict.WAIT
    across_retries: bool = True
    """Whether the place is kept between an attempt and the next one of the same job."""

    @property
    def parks(self) -> bool:
        """Whether a job that finds the key taken waits for it."""
        return self.on_conflict in {OnConflict.WAIT, OnConflict.LATEST}


class Standing(str, Enum):
    """How a job stands at a key."""

    WAITING = "waiting"
    """In line."""
    CALLED = "called"
    """It is its turn: a place is kept for it, and it is about to be published."""
    HOLDING = "holding"
    """It runs, or keeps the place: for its next attempt, or while it waits at its next key."""
    SUPERSEDED = "superseded"
    """A newer job took its place in line: it is about to be ended."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One job at one key."""

    key: str
    job_id: str
    standing: Standing
    fence: int | None = None
    """Of the latest acquisition; None until the first."""
    since: datetime
    """Since when it stands so."""
    priority: int = 0
    recorded_at: datetime
    """When the job was dispatched: who came first."""
    across_retries: bool = True

    @property
    def takes(self) -> bool:
        """Whether it takes one of the key's places."""
        return self.standing in {Standing.CALLED, Standing.HOLDING}

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Whoever has the smallest goes first."""
        return -self.priority, self.recorded_at, self.job_id

    def evolve(self, **changes: Any) -> Place:
        """A copy with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRecord:
    """What the store knows of one key."""

    key: str
    limit: int = 1
    """As the last job claimed that came to it."""
    taken: int = 0
    """Jobs that hold a place, or are called."""
    waiting: int = 0
    fence: int = 0
    """Of the latest acquisition. It never falls, also when the record was pruned in between: a new one
    begins with the store's time in milliseconds."""
    rejected: int = 0
    """How many jobs were skipped or refused because of it."""
    touched_at: datetime

    @property
    def is_idle(self) -> bool:
        """Whether nobody stands at it."""
        return self.taken == 0 and self.waiting == 0

    def has_room(self, limit: int) -> bool:
        """Whether somebody who comes now may take a place: nobody may overtake who waits."""
        return self.taken < limit and self.waiting == 0

    def evolve(self, **changes: Any) -> LockRecord:
        """A copy with ``changes``."""
        return replace(self, **changes)


def new_lock(key: str, now: datetime) -> LockRecord:
    """A key at which nobody has stood for a while."""
    return LockRecord(key=key, fence=int(now.timestamp() * 1000), touched_at=now)


def in_order(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """Claims as they are taken. All jobs go by the same order, so none waits in a circle."""
    return tuple(sorted(claims, key=lambda claim: claim.key))


def taken_and_waiting(counted: Mapping[Standing, int]) -> tuple[int, int]:
    """Of the places at a key, counted by their standing: how many it has taken, and how many wait."""
    return counted.get(Standing.CALLED, 0) + counted.get(Standing.HOLDING, 0), counted.get(
        Standing.WAITING, 0
    )
