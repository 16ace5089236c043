"""A group of jobs, its status, and the rules by which it starts and completes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import EventKind, GroupState, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many members ended in which way."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    revoked: int = 0
    skipped: int = 0

    @property
    def final(self) -> int:
        """How many members have ended."""
        return self.succeeded + self.failed + self.revoked + self.skipped

    @property
    def outstanding(self) -> int:
        """How many members have not ended."""
        return self.total - self.final

    def plus(self, other: Totals) -> Totals:
        """The sums, field by field."""
        return Totals(
            total=self.total + other.total,
            succeeded=self.succeeded + other.succeeded,
            failed=self.failed + other.failed,
            revoked=self.revoked + other.revoked,
            skipped=self.skipped + other.skipped,
        )

    def counting(self, state: JobState, by: int = 1) -> Totals:
        """One more (or ``by`` more) member that ended in ``state``."""
        name = _COUNTED_AS[state]
        return replace(self, **{name: getattr(self, name) + by})


_COUNTED_AS: Mapping[JobState, str] = {
    JobState.SUCCESS: "succeeded",
    JobState.FAILURE: "failed",
    JobState.REVOKED: "revoked",
    JobState.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """What the store knows of one group, standing (used again and again) or a batch (filled once)."""

    id: str
    title: str
    key: str | None = None
    description: str = ""
    payload: Any = None
    """Anything that JSON can hold."""
    standing: bool = True
    sealed: bool = False
    """A batch that is sealed gets no more members than it has."""
    incomplete: bool = False
    """A batch whose dispatch was abandoned half-way."""
    time_to_check: float = 60.0
    """Seconds between two recomputations of this group from ground truth."""
    settle_after: float = 0.0
    """Seconds with nothing outstanding before the group completes."""
    parent_id: str | None = None
    state: GroupState = GroupState.AWAITING
    generation: int = 1
    totals: Totals = field(default_factory=Totals)
    earlier: Totals = field(default_factory=Totals)
    """The sums of the generations before this one."""
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    idle_since: datetime | None = None
    next_check_at: datetime | None = None

    @property
    def outstanding(self) -> int:
        """How many members of this generation have not ended."""
        return self.totals.outstanding

    @property
    def lifetime(self) -> Totals:
        """The sums of all generations, this one included."""
        return self.earlier.plus(self.totals)

    @property
    def is_over(self) -> bool:
        """Whether this generation has announced its completion."""
        return self.completed_at is not None

    def evolve(self, **changes: Any) -> GroupRecord:
        """A copy with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A group's numbers at one moment. Reading it costs the same whatever the number of members."""

    group_id: str
    title: str
    state: GroupState
    generation: int
    total: int
    enqueued: int
    waiting: int
    started: int
    retrying: int
    succeeded: int
    failed: int
    revoked: int
    skipped: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    filling: bool
    eta: datetime | None
    """When the last member should end at the rate of this generation so far; None if unknown."""

    @property
    def outstanding(self) -> int:
        """How many members have not ended."""
        return self.total - self.final

    @property
    def final(self) -> int:
        """How many members have ended."""
        return self.succeeded + self.failed + self.revoked + self.skipped

    @property
    def percent(self) -> float:
        """How much has ended, from 0 to 100; 100 for an empty group that is completed."""
        if self.total == 0:
            return 100.0 if self.completed_at is not None else 0.0
        return 100.0 * self.final / self.total


def describe_status(
    group: GroupRecord, live: Mapping[JobState, int], *, filling: bool, now: datetime
) -> GroupStatus:
    """Put a group's counters and the number of its members in each live state into a status."""
    started, retrying, waiting = (
        live.get(state, 0) for state in (JobState.STARTED, JobState.RETRY, JobState.WAITING)
    )
    totals = group.totals
    return GroupStatus(
        group_id=group.id,
        title=group.title,
        state=group.state,
        generation=group.generation,
        total=totals.total,
        enqueued=max(0, totals.outstanding - started - retrying - waiting),
        waiting=waiting,
        started=started,
        retrying=retrying,
        succeeded=totals.succeeded,
        failed=totals.failed,
        revoked=totals.revoked,
        skipped=totals.skipped,
        created_at=group.created_at,
        started_at=group.started_at,
        completed_at=group.completed_at,
        filling=filling,
        eta=_eta(group, now),
    )


def _eta(group: GroupRecord, now: datetime) -> datetime | None:
    if group.started_at is None or group.is_over or not group.totals.final:
        return None
    each = (now - group.started_at) / group.totals.final
    return now + each * group.outstanding


Change = tuple[GroupRecord, tuple[EventKind, ...]]
"""A group after a change, and the events that the change causes, in their order."""


def join(group: GroupRecord, now: datetime, *, count: int = 1) -> GroupRecord:
    """Count new members in. A completed standing group begins its next generation.

    The caller has refused cancelled groups and completed batches before.
    """
    if group.is_over:
        group = group.evolve(
            generation=group.generation + 1,
            earlier=group.lifetime,
            totals=Totals(),
            state=GroupState.AWAITING,
            started_at=None,
            completed_at=None,
        )
    totals = replace(group.totals, total=group.totals.total + count)
    due = now + timedelta(seconds=group.time_to_check)
    return group.evolve(totals=totals, idle_since=None, next_check_at=group.next_check_at or due)


def mark_started(group: GroupRecord, now: datetime) -> Change:
    """A member started, or somebody said so: AWAITING becomes RUNNING, once per generation."""
    if group.state is not GroupState.AWAITING or group.started_at is not None:
        return group, ()
    return group.evolve(state=GroupState.RUNNING, started_at=now), (EventKind.STARTED,)


def cancel(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Set the flag. Members are settled one by one afterwards; the last one completes the group."""
    if group.is_over or group.state is GroupState.CANCELLED:
        return group, ()
    return settle_up(group.evolve(state=GroupState.CANCELLED, next_check_at=now), now, filling=filling)


def settle_up(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Complete the group if nothing holds it open; otherwise say when to look again."""
    if group.is_over:
        return group, ()
    cancelled = group.state is GroupState.CANCELLED
    if group.outstanding > 0 or (not cancelled and (filling or _awaits_members(group))):
        return group.evolve(idle_since=None), ()
    if not cancelled and group.settle_after > 0:
        idle_since = group.idle_since or now
        due = idle_since + timedelta(seconds=group.settle_after)
        if now < due:
            return group.evolve(idle_since=idle_since, next_check_at=due), ()
    return _complete(group, now)


def _awaits_members(group: GroupRecord) -> bool:
    return group.totals.total == 0 if group.standing else not group.sealed


def _complete(group: GroupRecord, now: datetime) -> Change:
    events: tuple[EventKind, ...] = (EventKind.COMPLETED,)
    if group.started_at is None:
        events = (EventKind.STARTED, *events)
    state = GroupState.CANCELLED if group.state is GroupState.CANCELLED else GroupState.COMPLETED
    return (
        group.evolve(
            state=state,
            started_at=group.started_at or now,
            completed_at=now,
            idle_since=None,
            next_check_at=None,
        ),
        events,
    )
