"""What does not fit together in a store, as ``jobtrack doctor`` finds and mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FaultKind(str, Enum):
    """What is wrong. None of it is seen while every record is written by the transitions alone."""

    COUNTERS = "counters"
    """A group counts other members than it has."""
    UNCHECKED = "unchecked"
    """A group has members outstanding, or waits for something, and is in no line for its next check."""
    UNFINISHED = "unfinished"
    """A group has nothing outstanding, nothing holds it open, and it has not completed."""
    UNANNOUNCED = "unannounced"
    """A group has started or completed, and there is no event of it."""
    ANNOUNCED = "announced"
    """There is an event of a group's completion, and it has not completed."""
    ATTEMPT_OPEN = "attempt open"
    """An attempt is open whose job has ended, is queued, or has another one open."""
    ATTEMPT_MISSING = "attempt missing"
    """A job is STARTED and has no open attempt."""
    ATTEMPT_LOST = "attempt lost"
    """An attempt is open whose worker is gone for long, and no checker has closed it."""
    INDEX = "index"
    """A record is not where an index says, or not in an index where it belongs."""
    ORPHAN = "orphan"
    """Something belongs to a record that is not there."""
    NO_GROUP = "no group"
    """A job counts as a member of a group that is not there."""
    NO_MEMBER = "no member"
    """A group is a member of another one, which has no record of that."""
    NO_CHILD = "no child"
    """A group has a member that stands for another group, and there is no such group."""
    PLACE = "place"
    """A job stands at a key where it should not, or not in the line for which it waits."""
    LOCK = "lock"
    """A key counts other places than it has, or is free while somebody waits for it."""
    UNTOLD = "untold"
    """A group is over and closed, and the group that it is a member of does not know."""
    FILLER = "filler"
    """Who filled a group is not heard of any more."""
    UNDELIVERED = "undelivered"
    """An event has not been delivered for long, and nobody is at it."""
    GIVEN_UP = "given up"
    """An event was given up, because its listeners raised each time."""
    MESSAGE_LOST = "message lost"
    """A job is recorded as queued, and its message is in no queue and with no worker."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One difference between what is recorded and what should be."""

    kind: FaultKind
    subject: str
    """The id of the job, the group, the event or the attempt, or a lock's key."""
    text: str
    """What is wrong, in words: what is recorded, and what should be."""
    detail: str = ""
    """For whoever mends it."""

    @property
    def identity(self) -> tuple[FaultKind, str, str]:
        """The same for the same fault seen twice, whatever its numbers are by then."""
        return self.kind, self.subject, self.detail


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPage:
    """What is wrong in one part of a store; ``cursor`` asks for the next one and is None at the end."""

    faults: tuple[Fault, ...] = ()
    cursor: str | None = None
    examined: int = 0
    """How many records were looked at."""
