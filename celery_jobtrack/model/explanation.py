"""Why a group has not finished: what it waits for, each with a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from celery_jobtrack.model.group import GroupStatus
    from celery_jobtrack.model.lock import Standing
    from celery_jobtrack.model.state import CallbackKind, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """A job that has a lock, or keeps a place at it."""

    job_id: str
    task: str | None
    """None if the job is not recorded."""
    state: JobState | None
    is_called: bool
    """Whether it is its turn, and it has not started."""
    since: datetime
    """Since when it has the lock, or its turn."""
    worker: str | None = None
    """Who runs it; None while nobody does."""
    is_worker_alive: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockExplanation:
    """For which lock a parked job waits. What is not known is None."""

    key: str
    said: str
    """Where it stands and who has the lock, in a sentence."""
    holders: tuple[LockHolder, ...] = ()
    """Some of those who have the lock."""
    more_holders: int = 0
    """How many more have it."""
    standing: Standing | None = None
    since: datetime | None = None
    """Since when the job stands so."""
    position: int | None = None
    """Its number in the line; 1 is next."""
    waiting: int | None = None
    """How many wait in the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberExplanation:
    """A member that has not ended. What does not apply to it, or is not known, is None."""

    job_id: str
    task: str
    state: JobState
    said: str
    """What it waits for, in a sentence."""
    since: datetime | None
    """When it came into this state."""
    worker: str | None = None
    """Who runs it."""
    is_worker_alive: bool | None = None
    heartbeat_at: datetime | None = None
    lease_until: datetime | None = None
    queue: str | None = None
    ahead: int | None = None
    """How many jobs were published to its queue before it and have not started."""
    queue_depth: int | None = None
    """How many messages the broker has in that queue."""
    is_queue_consumed: bool | None = None
    due_at: datetime | None = None
    """When its retry is due, or its eta is."""
    copies: int = 0
    """How often it was published again because its message seemed lost."""
    lock: LockExplanation | None = None
    """What it is parked for."""
    group: GroupExplanation | None = None
    """What it stands for, if it is a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackExplanation:
    """A callback that a group waits for."""

    kind: CallbackKind
    task: str
    job_id: str
    state: JobState | None
    """None while it is not recorded."""
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupExplanation:
    """Why a group has not finished."""

    group_id: str
    title: str
    is_finished: bool
    """Whether nothing is left to wait for, callbacks and the group that it is part of included."""
    said: tuple[str, ...]
    """What holds the group itself, in sentences."""
    status: GroupStatus
    members: tuple[MemberExplanation, ...] = ()
    """Some of those that have not ended: what runs first, then what waits for a retry, then the others."""
    others: Mapping[JobState, int] = field(default_factory=dict)
    """How many more there are in each state."""
    callbacks: tuple[CallbackExplanation, ...] = ()
    next_check_at: datetime | None = None
    asked_at: datetime
