"""What a run does: its batches, what is done to them, and when workers die."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from celery_jobtrack.model.state import CallbackKind, JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUES = ("celery", "express")
"""Those of the workers; the first is the usual one."""


class Kind(str, Enum):
    """How a member behaves."""

    QUICK = "quick"
    SLOW = "slow"
    FLAKY = "flaky"
    """Fails, is retried, and succeeds."""
    BROKEN = "broken"
    """Fails at once, in every run."""
    WORN = "worn"
    """Fails after its retries."""
    MENDED = "mended"
    """Fails in its first run, and succeeds in any other."""
    IGNORED = "ignored"
    """Raises Ignore: it is skipped."""
    LATE = "late"
    """Promises that it may run again when its worker is lost."""
    ADDER = "adder"
    """Adds members to its batch."""
    NESTER = "nester"
    """Dispatches a batch as a member of its batch."""
    CANCELLER = "canceller"
    """Cancels its batch."""

    def natural_end(self, run: int) -> tuple[JobState, Reason | None]:
        """What its body makes of the job in a run, if nobody comes between."""
        if self in {Kind.BROKEN, Kind.WORN} or (self is Kind.MENDED and run == 1):
            return JobState.FAILURE, Reason.ERROR
        if self is Kind.IGNORED:
            return JobState.SKIPPED, Reason.IGNORED
        return JobState.SUCCESS, None


@dataclass(frozen=True, kw_only=True)
class Member:
    """One job of a batch. Its name is its argument, by which everybody knows it."""

    name: str
    kind: Kind
    seconds: float = 0.0
    failures: int = 0
    """How often it is retried."""
    more: tuple[Entry, ...] = ()
    """What an adder adds, or the one batch of a nester."""

    @property
    def may_rerun(self) -> bool:
        return self.kind is Kind.LATE


class Ending(str, Enum):
    """How the job of a callback ends."""

    OK = "ok"
    FAILS = "fails"
    RETRIED = "retried"
    """Fails once, is retried, and succeeds."""

    @property
    def natural_end(self) -> tuple[JobState, Reason | None]:
        if self is Ending.FAILS:
            return JobState.FAILURE, Reason.ERROR
        return JobState.SUCCESS, None


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A callback as it is given to a batch."""

    kind: CallbackKind
    number: int = 0
    every: int = 0
    ending: Ending = Ending.OK
    seconds: float = 0.0
    queue: str | None = None


class Deed(str, Enum):
    """What is done to a batch while it runs."""

    ADD = "add"
    CANCEL = "cancel"
    CANCEL_MEMBER = "cancel-member"


class Again(str, Enum):
    """What is done to a batch when it has ended."""

    RETRY_ALL = "retry-all"
    RETRY_ONE = "retry-one"
    RETRY_MENDED = "retry-mended"
    """Only what failed of the exception that mended members raise."""
    REOPEN = "reopen"


@dataclass(frozen=True, kw_only=True)
class Act:
    """Something that is done from outside."""

    deed: Deed | Again
    target: str
    """The name of the batch, which may be one inside of the planned one."""
    after: float = 0.0
    """Seconds since what was done before."""
    more: tuple[Entry, ...] = ()
    """What is added."""
    choice: float = 0.0
    """From 0 to 1: which member."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch, with those that are dispatched in it."""

    name: str
    entries: tuple[Entry, ...]
    callbacks: tuple[Callback, ...] = ()
    allow_failures: bool = False
    queue: str | None = None
    abandon_after: int | None = None
    """After how many entries the iterable of its members raises."""
    pause: float = 0.0
    """Seconds between two entries of its iterable."""
    chunk: int | None = None
    """How many members are sent at once; None for as many as usual."""
    acts: tuple[Act, ...] = ()
    afterwards: tuple[Act, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """This batch, and all that may come to be in it."""
        yield self
        for entry in (*self.everything(), *_added(self)):
            if isinstance(entry, Batch):
                yield from entry.batches()

    def members(self) -> Iterator[Member]:
        """The jobs that may come to be members of this very batch, what is added from outside apart."""
        return (entry for entry in self.everything() if isinstance(entry, Member))

    def everything(self) -> Iterator[Entry]:
        """The entries, and what those add to this batch."""
        waiting = list(self.entries)
        while waiting:
            entry = waiting.pop(0)
            yield entry
            if isinstance(entry, Member):
                waiting += entry.more


def _added(batch: Batch) -> Iterator[Entry]:
    """What is added from outside, to this batch or to one within."""
    for act in (*batch.acts, *batch.afterwards):
        waiting = list(act.more)
        while waiting:
            entry = waiting.pop(0)
            yield entry
            if isinstance(entry, Member):
                waiting += entry.more


Entry = Member | Batch


class Blow(str, Enum):
    """Who is killed."""

    CHILD = "child"
    """A pool child that is inside of a body."""
    ACTOR = "actor"
    """A pool child that is adding members, or dispatching a batch, or cancelling one."""
    WORKER = "worker"
    """A worker, main process and children."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """``kill -9`` of somebody."""

    blow: Blow
    after: int
    """How many bodies have begun since the kill before."""
    choice: float
    """From 0 to 1: which of several victims it is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    number: int
    store: str
    broker: str
    batches: tuple[Batch, ...]
    kills: tuple[Kill, ...]

    @property
    def name(self) -> str:
        where = f"{self.store} over {self.broker}"
        return f"run {self.number} of seed {self.seed}: {len(self.batches)} batches, {where}"

    def all_batches(self) -> dict[str, Batch]:
        """By name, those within others included."""
        return {within.name: within for batch in self.batches for within in batch.batches()}

    def all_members(self) -> dict[str, Member]:
        """By name."""
        found = {member.name: member for batch in self.all_batches().values() for member in batch.members()}
        for batch in self.all_batches().values():
            found |= {entry.name: entry for entry in _added(batch) if isinstance(entry, Member)}
        return found
