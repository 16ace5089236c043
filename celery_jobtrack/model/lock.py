"""Locks: what a job claims before its body may run, and who stands at a key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HIGHEST_PRIORITY = 9
UNLIMITED = 2**31 - 1
CALL_LASTS = 30.0
"""Seconds for which a place is kept for a job on its way to a worker, at keys where others may go before it:
its message may be stuck behind a long job."""
AT_ONCE = 100
"""How many are called in one transaction; ``LockRecord.due_at`` says that there are more."""
SHARE_MADE_GOOD = 12
"""One part in so many of a rate's interval a start may be late and made good, between these bounds."""
LEAST_MADE_GOOD, MOST_MADE_GOOD = timedelta(milliseconds=25), timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)


class Kind(str, Enum):
    """What a key is about: when there is room at it, and how long a place is kept."""

    SLOTS = "slots"
    """So many run at a time: kept from the start on."""
    UNIQUE = "unique"
    """One of them is there at a time: kept from the dispatch on."""
    QUEUE = "queue"
    """So many are on their way to a worker, by the order of ``Claim.at``: kept from dispatch to start."""
    RATE = "rate"
    """So many start in a time: nothing is kept after the start."""
    CLOCK = "clock"
    """Nobody is sent before ``Claim.at``."""

    def __str__(self) -> str:
        return str(self.value)


_FROM_DISPATCH = frozenset({Kind.UNIQUE, Kind.QUEUE, Kind.CLOCK})
_CALLS_RUN_OUT = frozenset({Kind.QUEUE, Kind.RATE})


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
    """What a job asks for: one of ``limit`` places at a key, for as long as the key's kind says."""

    key: str
    kind: Kind = Kind.SLOTS
    limit: int = 1
    """How many places; of a rate, how many starts may come at once after a rest."""
    on_conflict: OnConflict = OnConflict.WAIT
    across_retries: bool = True
    """Whether the place is kept between an attempt and the next one of the same job."""
    until_start: bool = False
    """Whether the place is kept only until the job starts."""
    lease: float | None = None
    """Seconds after which others may have the place although the job has not left it; None: never."""
    interval: float | None = None
    """Of a rate: seconds from one start to the next."""
    at: datetime | None = None
    """When a job is due that waits at a clock; who is first in the line of a queue."""

    @property
    def from_dispatch(self) -> bool:
        """Whether the place is taken when the job is dispatched, and not when it starts."""
        return self.kind in _FROM_DISPATCH

    @property
    def asks_at_dispatch(self) -> bool:
        """Whether it makes a difference when the job is dispatched: how many of a kind are sent then."""
        return self.kind is not Kind.SLOTS

    @property
    def skip_reason(self) -> Reason:
        """Why a job ends that finds the key taken and shall not wait."""
        return Reason.DUPLICATE if self.kind is Kind.UNIQUE else Reason.OVERLAP

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
    """When the job was dispatched, or ``Claim.at``: who comes first."""
    across_retries: bool = True
    until_start: bool = False
    until: datetime | None = None
    """When others may have the place although the job has not left it; None: never."""

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
    kind: Kind = Kind.SLOTS
    limit: int = 1
    """As the last job claimed that came to it; 0 of a gate, see ``model.halt``."""
    interval: float | None = None
    """Of a rate: seconds from one start to the next, as the last job claimed that came to it."""
    taken: int = 0
    """Jobs that hold a place, or are called."""
    waiting: int = 0
    fence: int = 0
    """Of the latest acquisition. It never falls, also when the record was pruned in between: a new one
    begins with the store's time in milliseconds."""
    rejected: int = 0
    """How many jobs were skipped or refused because of it."""
    touched_at: datetime
    next_at: datetime | None = None
    """Of a rate: when all its starts are available again but one."""
    due_at: datetime | None = None
    """When somebody in its line may be called, if nobody leaves before; None: not for the time alone."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody stands at it."""
        return self.taken == 0 and self.waiting == 0

    def may_be_forgotten(self, idle_before: datetime) -> bool:
        """Whether nothing is lost with the record of a key at which nobody has stood since then."""
        at_rest = self.next_at is None or self.next_at < idle_before
        return self.is_idle and at_rest and self.touched_at < idle_before

    def claimed_by(self, claim: Claim) -> LockRecord:
        """As it is after a job came with its claim."""
        return self.evolve(kind=claim.kind, limit=claim.limit, interval=claim.interval)

    def free(self, now: datetime) -> int:
        """How many more places may be taken at this moment."""
        if self.kind is Kind.CLOCK:
            return UNLIMITED
        return (self.starts(now) if self.kind is Kind.RATE else self.limit) - self.taken

    def has_room(self, now: datetime) -> bool:
        """Whether somebody who comes now may take a place: nobody may overtake who waits."""
        return self.free(now) > 0 and self.waiting == 0

    def starts(self, now: datetime) -> int:
        """How many may start at this moment by the rate.

        The generic cell rate algorithm: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm.
        """
        step = self._step
        if self.next_at is None or self.next_at <= now or not step:
            return self.limit
        behind = self.next_at - now - _MICROSECOND
        return max(0, self.limit + -behind // step)

    def started(self, now: datetime) -> LockRecord:
        """As it is after a start that the rate let through.

        A start is later than its turn by the way to its worker. A little of that is made good, so that a
        rate of 100 a minute comes to 100.
        """
        step = self._step
        late = min(max(step // SHARE_MADE_GOOD, LEAST_MADE_GOOD), MOST_MADE_GOOD)
        counts_from = now if self.next_at is None or self.next_at < now - late else self.next_at
        return self.evolve(next_at=counts_from + step)

    def may_call(self, first: Place, now: datetime) -> bool:
        """Whether the first of its line may be called at this moment."""
        return self.free(now) > 0 and (self.kind is not Kind.CLOCK or first.recorded_at <= now)

    def call_until(self, now: datetime) -> datetime | None:
        """How long a place is kept for who is called now; None: until it starts or ends."""
        return now + timedelta(seconds=CALL_LASTS) if self.kind in _CALLS_RUN_OUT else None

    def due(self, first: Place | None, soonest: datetime | None, now: datetime) -> datetime | None:
        """When the first of its line may be called, if nobody leaves before.

        Args:
            first: Of the line; None if nobody waits.
            soonest: When the first of the places runs out that are taken; None if none does.
            now: The store's time.
        """
        if first is None:
            return None
        if self.kind is Kind.CLOCK:
            return first.recorded_at
        if self.kind is Kind.RATE and self.next_at is not None and self._step and self.taken < self.limit:
            free_at = self.next_at - (self.limit - self.taken - 1) * self._step
            return max(free_at, now)
        return now if self.free(now) > 0 else soonest

    @property
    def _step(self) -> timedelta:
        """The interval as every store counts it, in whole microseconds: or they would not agree."""
        return timedelta(seconds=self.interval or 0.0)

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
