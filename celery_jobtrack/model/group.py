"""A group of jobs, its status, and the rules by which it starts and completes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.eta import remaining
from celery_jobtrack.model.event import Cause
from celery_jobtrack.model.state import CallbackKind, EventKind, GroupOutcome, GroupState, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.job import JobRecord

GROUP_TASK = "celery_jobtrack.group"
"""The task of the job that stands for a group among the members of its parent; nothing ever runs it."""


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
    """The group of which this one is a member."""
    cancels_on_failure: bool = False
    """Whether the first member that fails for good cancels the rest."""
    callbacks: tuple[Callback, ...] = ()
    state: GroupState = GroupState.AWAITING
    generation: int = 1
    base_generation: int = 1
    """Members of the generations from this one to the present one are counted in ``totals``."""
    totals: Totals = field(default_factory=Totals)
    earlier: Totals = field(default_factory=Totals)
    """The sums of the generations before ``base_generation``."""
    first_failure: str | None = None
    """The id of the first member that failed for good since the present generation began."""
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    closed_at: datetime | None = None
    """When the callbacks of a completed group had ended, and its parent knew; see ``needs_closing``."""
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

    @property
    def needs_closing(self) -> bool:
        """Whether something is to be done once it has completed: callbacks, or to tell its parent."""
        return self.parent_id is not None or bool(self.callbacks)

    @property
    def progress_every(self) -> int:
        """After how many ended members an event is due; 0 for never."""
        return math.gcd(*(callback.every for callback in self.callbacks))

    @property
    def tells_failure(self) -> bool:
        """Whether an event is due when the first member fails."""
        return self.cancels_on_failure or any(c.kind is CallbackKind.CATCH for c in self.callbacks)

    @property
    def outcome(self) -> GroupOutcome | None:
        """What the present generation came to; None while it is not over."""
        return _outcome(self) if self.is_over else None

    def counts(self, generation: int | None) -> bool:
        """Whether a member of ``generation`` is counted in ``totals``."""
        return generation is not None and self.base_generation <= generation <= self.generation

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
    eta_low: datetime | None = None
    eta_high: datetime | None = None
    """Between which times that should be, nine times of ten, if it goes on as it went (see ``model.eta``)."""

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
        **_times(group, started, now),
    )


def _times(group: GroupRecord, running: int, now: datetime) -> dict[str, datetime | None]:
    """When the group should have completed, and between which times."""
    if group.started_at is None or group.is_over or not group.outstanding:
        return {"eta": None}  # one that waits for more members to come has no end in sight
    seconds = (now - group.started_at).total_seconds()
    found = remaining(seconds=seconds, done=group.totals.final, left=group.outstanding, running=running)
    if found is None:
        return {"eta": None}
    ends = {"eta": found.likely, "eta_low": found.low, "eta_high": found.high}
    return {name: _after(now, seconds) for name, seconds in ends.items()}


def _after(now: datetime, seconds: float) -> datetime | None:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None  # beyond the calendar


Change = tuple[GroupRecord, tuple[Cause, ...]]
"""A group after a change, and the events that the change causes, in their order."""

NO_EVENTS: tuple[Cause, ...] = ()


def join(group: GroupRecord, now: datetime, *, count: int = 1) -> GroupRecord:
    """Count new members in. A completed standing group begins its next generation.

    The caller has refused cancelled groups and completed batches before.
    """
    if group.is_over:
        group = reopen(group, keep_totals=False)
    totals = replace(group.totals, total=group.totals.total + count)
    due = now + timedelta(seconds=group.time_to_check)
    return group.evolve(totals=totals, idle_since=None, next_check_at=group.next_check_at or due)


def reopen(group: GroupRecord, *, keep_totals: bool) -> GroupRecord:
    """Begin the next generation of a group that is over.

    Args:
        group: The group.
        keep_totals: Whether the members there are stay counted, as those of a batch do of which some
            run again.
    """
    following = group.generation + 1
    anew: dict[str, Any] = {}
    if not keep_totals:
        anew = {"earlier": group.lifetime, "totals": Totals(), "base_generation": following}
    return group.evolve(
        generation=following,
        state=GroupState.AWAITING,
        started_at=None,
        completed_at=None,
        closed_at=None,
        first_failure=None,
        # One that was cancelled before its dispatch had ended got no more members, and would wait for them.
        sealed=group.sealed or not group.standing,
        incomplete=False,
        **anew,
    )


def generation_of_next_run(group: GroupRecord) -> int:
    """In which generation a member runs that is redriven now."""
    return group.generation + 1 if group.is_over else group.generation


def redrive(group: GroupRecord, job: JobRecord, now: datetime) -> tuple[GroupRecord, int | None]:
    """Count a member that has ended out of those that have, as it is about to run again.

    Gives the group, and the generation in which the member is counted now. The caller has refused
    groups that are being cancelled.
    """
    if group.is_over and not group.standing:
        group = reopen(group, keep_totals=True)
    if group.is_over or not group.counts(job.generation):
        # A new member of what a standing group does now.
        joined = join(group, now)
        return joined, joined.generation
    due = now + timedelta(seconds=group.time_to_check)
    return (
        group.evolve(
            totals=group.totals.counting(job.state, by=-1),
            idle_since=None,
            next_check_at=group.next_check_at or due,
        ),
        job.generation,
    )


def mark_started(group: GroupRecord, now: datetime) -> Change:
    """A member started, or somebody said so: AWAITING becomes RUNNING, once per generation."""
    if group.state is not GroupState.AWAITING or group.started_at is not None:
        return group, NO_EVENTS
    return group.evolve(state=GroupState.RUNNING, started_at=now), (Cause(kind=EventKind.STARTED),)


def count_end(group: GroupRecord, job: JobRecord, now: datetime, *, filling: bool) -> Change:
    """A member has ended: count it, and see what that means to the group.

    The first one that fails is told of before the group may be complete, and cancels the others of a
    group that wants that.
    """
    group = group.evolve(totals=group.totals.counting(job.state))
    causes: tuple[Cause, ...] = ()
    failed = job.state is JobState.FAILURE and group.state is not GroupState.CANCELLED
    if failed and group.first_failure is None:
        group = group.evolve(first_failure=job.id)
        if group.tells_failure:
            causes += (Cause(kind=EventKind.FAILED, job_id=job.id),)
        if group.cancels_on_failure:
            group = group.evolve(state=GroupState.CANCELLED, next_check_at=now)
    every = group.progress_every
    if every and group.totals.final % every == 0:
        causes += (Cause(kind=EventKind.PROGRESSED, step=group.totals.final),)
    return _caused(group, causes, now, filling=filling)


def recounted(group: GroupRecord, counted: Totals) -> Totals:
    """What the numbers of a group should be, by what its recorded members say.

    A batch that was reopened keeps the numbers of members that have been pruned since they ended.
    """
    if group.base_generation == group.generation:
        return counted
    ended = {name: max(getattr(counted, name), getattr(group.totals, name)) for name in _COUNTED_AS.values()}
    return Totals(total=counted.outstanding + sum(ended.values()), **ended)


def close(group: GroupRecord, now: datetime) -> GroupRecord:
    """What follows a completion is done."""
    if not group.is_over or group.closed_at is not None:
        return group
    return group.evolve(closed_at=now, next_check_at=None)


def seal(group: GroupRecord, now: datetime, *, incomplete: bool, filling: bool) -> Change:
    """A batch gets no more members; with ``incomplete`` not all could be dispatched, which is a failure.

    What was not dispatched of a batch that somebody had cancelled by then is cancelled with it.
    """
    if group.is_over:
        return group, NO_EVENTS
    if group.state is GroupState.CANCELLED and group.first_failure is None:
        incomplete = False
    group = group.evolve(sealed=True, incomplete=group.incomplete or incomplete)
    causes: tuple[Cause, ...] = ()
    untold = group.first_failure is None and group.state is not GroupState.CANCELLED
    if incomplete and untold and group.tells_failure:
        causes = (Cause(kind=EventKind.FAILED),)
    if incomplete and untold and group.cancels_on_failure:
        group = group.evolve(state=GroupState.CANCELLED, next_check_at=now)
    return _caused(group, causes, now, filling=filling)


def _caused(group: GroupRecord, causes: tuple[Cause, ...], now: datetime, *, filling: bool) -> Change:
    """The group with these events behind that of its start, and with its completion if that is due."""
    if causes and group.started_at is None:
        group, causes = group.evolve(started_at=now), (Cause(kind=EventKind.STARTED), *causes)
        if group.state is GroupState.AWAITING:
            group = group.evolve(state=GroupState.RUNNING)
    settled, more = settle_up(group, now, filling=filling)
    return settled, causes + more


def cancel(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Set the flag. Members are settled one by one afterwards; the last one completes the group."""
    if group.is_over or group.state is GroupState.CANCELLED:
        return group, NO_EVENTS
    return settle_up(group.evolve(state=GroupState.CANCELLED, next_check_at=now), now, filling=filling)


def settle_up(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Complete the group if nothing holds it open; otherwise say when to look again."""
    if group.is_over:
        return group, NO_EVENTS
    cancelled = group.state is GroupState.CANCELLED
    if group.outstanding > 0 or (not cancelled and (filling or _awaits_members(group))):
        return group.evolve(idle_since=None), NO_EVENTS
    if not cancelled and group.settle_after > 0:
        idle_since = group.idle_since or now
        due = idle_since + timedelta(seconds=group.settle_after)
        if now < due:
            return group.evolve(idle_since=idle_since, next_check_at=due), NO_EVENTS
    return _complete(group, now)


def _awaits_members(group: GroupRecord) -> bool:
    return group.totals.total == 0 if group.standing else not group.sealed


def _complete(group: GroupRecord, now: datetime) -> Change:
    causes: tuple[Cause, ...] = (Cause(kind=EventKind.COMPLETED, outcome=_outcome(group)),)
    if group.started_at is None:
        causes = (Cause(kind=EventKind.STARTED), *causes)
    # What follows is done by whoever delivers the event, and is looked after until it is.
    due = now + timedelta(seconds=group.time_to_check) if group.needs_closing else None
    state = GroupState.CANCELLED if group.state is GroupState.CANCELLED else GroupState.COMPLETED
    return (
        group.evolve(
            state=state,
            started_at=group.started_at or now,
            completed_at=now,
            idle_since=None,
            next_check_at=due,
        ),
        causes,
    )


def _outcome(group: GroupRecord) -> GroupOutcome:
    if group.incomplete:
        return GroupOutcome.FAILED
    if group.state is GroupState.CANCELLED:
        return GroupOutcome.CANCELLED if group.first_failure is None else GroupOutcome.FAILED
    # Not by the first failure: that member may have run again, and succeeded.
    wrong = group.totals.failed + group.totals.revoked
    return GroupOutcome.FAILED if wrong else GroupOutcome.SUCCEEDED
