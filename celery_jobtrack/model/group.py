"""A group of jobs, its numbers, and its status."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.eta import remaining
from celery_jobtrack.model.state import CallbackKind, GroupOutcome, GroupState, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from celery_jobtrack.model.callback import Callback

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
        name = COUNTED_AS[state]
        return replace(self, **{name: getattr(self, name) + by})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How many members have not ended, do not run, and are not simply queued."""

    retrying: int = 0
    waiting: int = 0


COUNTED_AS: Mapping[JobState, str] = {
    JobState.SUCCESS: "succeeded",
    JobState.FAILURE: "failed",
    JobState.REVOKED: "revoked",
    JobState.SKIPPED: "skipped",
}
"""The counter of each final state."""


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
    """Not all members could be dispatched that it was to have."""
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
    def lacks_members(self) -> bool:
        """Whether a batch that is over never got all of its members, or nobody has said that it did."""
        return not self.standing and (self.incomplete or not self.sealed)

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
        return outcome_if_over(self) if self.is_over else None

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
    """Put a group's counters and the number of its members in each live state into a status.

    The numbers add up to the total, also where some have drifted and wait for the next recount.
    """
    totals = group.totals
    left = totals.outstanding
    numbers = []
    for state in (JobState.STARTED, JobState.RETRY, JobState.WAITING):
        number = max(0, min(live.get(state, 0), left))
        left -= number
        numbers.append(number)
    started, retrying, waiting = numbers
    return GroupStatus(
        group_id=group.id,
        title=group.title,
        state=group.state,
        generation=group.generation,
        total=totals.total,
        enqueued=max(0, left),
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


def outcome_if_over(group: GroupRecord) -> GroupOutcome:
    """What the present generation comes to if it is over at this moment."""
    if group.incomplete:
        return GroupOutcome.FAILED
    if group.state is GroupState.CANCELLED:
        return GroupOutcome.CANCELLED if group.first_failure is None else GroupOutcome.FAILED
    if group.first_failure is not None and group.tells_failure:
        # Its catch was called: then would be so, too, if the member has run again meanwhile, and succeeded.
        return GroupOutcome.FAILED
    # Not by the first failure: that member may have run again, and succeeded.
    wrong = group.totals.failed + group.totals.revoked
    return GroupOutcome.FAILED if wrong else GroupOutcome.SUCCEEDED
