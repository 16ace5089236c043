"""What is asked of a store: the arguments of its transitions, and of its questions.

A transition takes one value and gives one back, so a later clause (a lock, a limit, a metric) is
a new field here and not a new call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import QUEUED, REDRIVEN, JobState

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import ErrorInfo
    from celery_jobtrack.model.lock import Claim
    from celery_jobtrack.model.state import GroupState, Outcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a message says of its job: enough to record a job that the store never heard of."""

    job_id: str
    task: str
    queue: str | None = None
    priority: int | None = None
    args: str | None = None
    kwargs: str | None = None
    tags: tuple[str, ...] = ()
    group_id: str | None = None
    retries: int = 0
    max_retries: int | None = None
    run: int = 1
    root_id: str | None = None
    parent_id: str | None = None
    eta: datetime | None = None
    expires_at: datetime | None = None
    within: tuple[str, ...] = ()
    """Further groups that the job is part of without being counted: the cancel flag of any refuses it."""
    callback_of: str | None = None
    """The group whose callback it is."""
    part_of: tuple[str, ...] = ()
    """The jobs that only its success leads to: the last of its chain, the body of its chord."""
    claims: tuple[Claim, ...] = ()
    """The keys at which it needs a place to run, in the order of ``lock.in_order``."""


AD_HOC = "process@"
"""How the names of processes begin that run jobs without being workers: they consume nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Who runs an attempt: ``id`` is new with every boot, ``name`` is Celery's."""

    id: str
    name: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueRequest:
    """Record a job whose message is about to be published."""

    origin: Origin
    message: bytes | None = None
    """What is needed to publish the job again; None gives that up."""
    published: bool = True
    """False for a job that has no message yet: another job's end will publish it, or settle it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """Open an attempt. The token is made by the worker, so a repeated call is the same call."""

    origin: Origin
    token: str
    worker: Worker
    reruns: bool = False
    """Whether the job may be run again if this attempt is lost with its worker."""
    asks: bool = True
    """Whether the body waits for the answer; one that runs already cannot be held back any more."""


class Refusal(str, Enum):
    """Why a start was refused."""

    FINAL = "the job has ended"
    OPEN = "another attempt is open"
    STALE = "the message is older than the job's last retry or run"
    CANCELLED = "the job was cancelled"
    EXPIRED = "the job has expired"
    GROUP_CANCELLED = "its group was cancelled"
    CLOSED = "this attempt was closed before"
    OVERLAP = "another job has its lock"
    PARKED = "it waits for its turn"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRequest:
    """Close an attempt. It repeats the start, which is recorded first if it never arrived."""

    start: StartRequest
    outcome: Outcome
    reason: Reason | None = None
    error: ErrorInfo | None = None
    result: bytes | None = None
    """What the body returned, serialised, if that is to be kept; only with ``Outcome.SUCCESS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequest:
    """The next retry of a running job is about to be published: same id, higher ``retries``."""

    start: StartRequest
    origin: Origin
    """What the new message says: its ``retries`` and its ``eta``."""
    message: bytes | None = None
    outcome: Outcome
    """``RETRY``, or ``REPLACED`` when ``Task.replace`` publishes under the same id."""
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRequest:
    """End a job from outside its attempt: by a main process, a publisher, the checker, a person.

    ``only_from`` guards the state. An open attempt is closed with the job only when ``worker_id``
    and ``retries`` name the one that is open, or its ``token`` is given; otherwise a job with an
    open attempt is left alone. A job that has come to a later try than the message of which
    ``worker_id`` tells is left alone as well.
    """

    origin: Origin
    state: JobState
    reason: Reason | None = None
    """None for ``SUCCESS`` only, which a group has that is a member of another one."""
    error: ErrorInfo | None = None
    only_from: frozenset[JobState] = QUEUED | {JobState.WAITING}
    worker_id: str | None = None
    token: str | None = None
    outcome: Outcome | None = None
    """How the open attempt is closed; by default as the job is."""
    record_unknown: bool = True
    """Whether a job that the store never heard of is recorded, from the origin."""
    run: int | None = None
    """Of the message of which it tells: a job that runs again since is left alone. None: of any run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueRequest:
    """An open attempt is lost, and its job may be run again: it is about to be published again."""

    job_id: str
    token: str
    """Of the attempt; nothing happens unless it is the one that is open."""
    error: ErrorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveRequest:
    """A job that did not succeed is about to be published again as a new run of the same id."""

    job_id: str
    only_from: frozenset[JobState] = REDRIVEN
    message: bytes | None = None
    """The message of the new run, to be kept in the place of the old one; None leaves that."""
    into: int | None = None
    """The generation of its group in which it shall run: the request is not applied in any other.

    None for the present generation, and the next one of a group that is over. Who runs many members again
    says it: the first ones may fail, and end the generation that was begun for all.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanged:
    """A group after an operation on it. ``events`` are claimed by the caller, who delivers them."""

    group: GroupRecord
    events: tuple[EventRecord, ...] = ()
    repaired: str | None = None
    """What a recomputation had to mend; None when the counters were right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list, newest first. Fields that are None do not filter."""

    state: JobState | None = None
    task: str | None = None
    queue: str | None = None
    group_id: str | None = None
    tag: str | None = None
    since: datetime | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuery:
    """Which groups to list, newest first. Fields that are None do not filter."""

    state: GroupState | None = None
    due_before: datetime | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing; ``cursor`` asks for the next one and is None on the last.

    Only the cursor tells whether there is more: a store that has no index for a filter may look through
    a part of its records for each page, which is short then, or empty.
    """

    items: tuple[Any, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as the store knows it."""

    id: str
    name: str
    pid: int
    registered_at: datetime
    heartbeat_at: datetime
    lease_until: datetime
    stopped_at: datetime | None = None
    """When it said goodbye, or was given up."""

    def is_alive(self, now: datetime) -> bool:
        """Whether its lease holds."""
        return self.stopped_at is None and now <= self.lease_until

    def is_missing(self, last_look: datetime, heard_since: datetime) -> bool:
        """Whether its lease held when the store was last looked at, and nothing explains its silence since.

        Args:
            last_look: When anybody last looked.
            heard_since: From when on a heartbeat shows that it was not silent.
        """
        return self.stopped_at is None and self.lease_until >= last_look and self.heartbeat_at < heard_since
