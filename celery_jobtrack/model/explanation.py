"""Why a group has not finished: what it waits for, each with a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from celery_jobtrack.model.group import GroupStatus
    from celery_jobtrack.model.state import CallbackKind, JobState


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
