"""By which small numbers the stored values name their fields and their states: Python's and Lua's.

These numbers are the storage format. One that was given is never given to something else; a new field
gets the next number. ``scripts.py`` writes them into the Lua sources, where ``J.state`` stands for 1.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from celery_jobtrack.model.lock import (
    AT_ONCE,
    CALL_LASTS,
    HIGHEST_PRIORITY,
    LEAST_MADE_GOOD,
    MOST_MADE_GOOD,
    SHARE_MADE_GOOD,
    UNLIMITED,
    Kind,
    OnConflict,
    Standing,
)
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import (
    TRANSITIONS,
    EventKind,
    GroupOutcome,
    GroupState,
    JobState,
    Outcome,
    Reason,
)
from celery_jobtrack.strategies.contract import EVENT_CLAIM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum

LAYOUT = 1
"""The version of what lies in the keys."""

PAGE = 128
"""Entries of an index page: as many as a sorted set holds in its compact form by default."""

LEVEL = 2**49
"""How far apart two priorities are in a line: within one the jobs go by the order of recording."""

JOB: Mapping[str, int] = {
    "state": 1,
    "generation": 2,
    "task": 3,
    "queue": 4,
    "group_id": 5,
    "seq": 6,
    "ended": 7,
    "attempts": 8,
    "attempt": 9,
    "enqueued_at": 10,
    "published_at": 11,
    "started_at": 12,
    "finished_at": 13,
    "reason": 14,
    "error": 15,
    "retries": 16,
    "run": 17,
    "priority": 18,
    "args": 19,
    "kwargs": 20,
    "tags": 21,
    "max_retries": 22,
    "root_id": 23,
    "parent_id": 24,
    "eta": 25,
    "expires_at": 26,
    "progress": 27,
    "cancel_requested": 28,
    "copy_waiting": 29,
    "copies": 30,
    "member": 31,
    # Of jobs that claim keys only: where such a job stands is written out in locks.lua.
    "keyed": 32,
    "waits_for": 33,
    "blocked_by": 34,
    "stands": 35,
}
ATTEMPT: Mapping[str, int] = {
    "token": 1,
    "worker_id": 2,
    "worker": 3,
    "pid": 4,
    "started_at": 5,
    "finished_at": 6,
    "outcome": 7,
    "error": 8,
    "late_outcome": 9,
    "retries": 10,
    "run": 11,
    "reruns": 12,
}
GROUP: Mapping[str, int] = {
    "state": 1,
    "generation": 2,
    "total": 3,
    "succeeded": 4,
    "failed": 5,
    "revoked": 6,
    "skipped": 7,
    "started": 8,
    "retrying": 9,
    "waiting": 10,
    "created_at": 11,
    "started_at": 12,
    "completed_at": 13,
    "idle_since": 14,
    "next_check_at": 15,
    "standing": 16,
    "sealed": 17,
    "incomplete": 18,
    "time_to_check": 19,
    "settle_after": 20,
    "fillers": 21,
    "seq": 22,
    "members": 23,
    "left": 24,
    "first": 25,
    "swept": 26,
    "earlier_total": 27,
    "earlier_succeeded": 28,
    "earlier_failed": 29,
    "earlier_revoked": 30,
    "earlier_skipped": 31,
    # Not there while it is the present generation.
    "base_generation": 32,
    "cancels_on_failure": 33,
    "tells_failure": 34,
    "progress_every": 35,
    "first_failure": 36,
    # Of the present generation: whether its failure was told, and the last step that was.
    "failure_told": 37,
    "progressed": 38,
    "needs_closing": 39,
    "closed_at": 40,
}
EVENT: Mapping[str, int] = {
    "kind": 1,
    "group_id": 2,
    "generation": 3,
    "seq": 4,
    "created_at": 5,
    "claimed_by": 6,
    "claimed_until": 7,
    "tries": 8,
    "error": 9,
    "step": 10,
    "outcome": 11,
    "job_id": 12,
}
WORKER: Mapping[str, int] = {
    "name": 1,
    "pid": 2,
    "registered_at": 3,
    "heartbeat_at": 4,
    "lease_until": 5,
    "stopped_at": 6,
}
LOCK: Mapping[str, int] = {
    "limit": 1,
    "fence": 2,
    "rejected": 3,
    "touched_at": 4,
    # Of a key that is not about slots.
    "kind": 5,
    "interval": 6,
    "next_at": 7,
}
PLACE: Mapping[str, int] = {
    "key": 1,
    "fence": 2,
    "lets_go": 3,
    "since": 4,
    # Where it runs out, or is taken at the dispatch.
    "until_start": 5,
    "ends": 6,
    "at": 7,
}
"""A job's place at a key, as it lies in the job."""
CLAIM: Mapping[str, int] = {
    "key": 1,
    "limit": 2,
    "on_conflict": 3,
    "lets_go": 4,
    "kind": 5,
    "until_start": 6,
    "lease": 7,
    "interval": 8,
    "at": 9,
}
"""What a script is told of a claim; this is not stored."""

STATES: Mapping[JobState, int] = {
    JobState.ENQUEUED: 1,
    JobState.WAITING: 2,
    JobState.STARTED: 3,
    JobState.RETRY: 4,
    # From here on a job has ended.
    JobState.SUCCESS: 5,
    JobState.FAILURE: 6,
    JobState.REVOKED: 7,
    JobState.SKIPPED: 8,
}
GROUP_STATES: Mapping[GroupState, int] = {
    GroupState.AWAITING: 1,
    GroupState.RUNNING: 2,
    GroupState.COMPLETED: 3,
    GroupState.CANCELLED: 4,
}
OUTCOMES: Mapping[Outcome, int] = {
    Outcome.SUCCESS: 1,
    Outcome.FAILURE: 2,
    Outcome.RETRY: 3,
    Outcome.REVOKED: 4,
    Outcome.SKIPPED: 5,
    Outcome.REQUEUED: 6,
    Outcome.REPLACED: 7,
    Outcome.LOST: 8,
}
REASONS: Mapping[Reason, int] = {
    Reason.ERROR: 1,
    Reason.TIMEOUT: 2,
    Reason.WORKER_LOST: 3,
    Reason.UNKNOWN_TASK: 4,
    Reason.PUBLISH_FAILED: 5,
    Reason.REJECTED: 6,
    Reason.CANCELLED: 7,
    Reason.EXPIRED: 8,
    Reason.TERMINATED: 9,
    Reason.GROUP_CANCELLED: 10,
    Reason.OVERLAP: 11,
    Reason.DUPLICATE: 12,
    Reason.IGNORED: 13,
}
KINDS: Mapping[EventKind, int] = {
    EventKind.STARTED: 1,
    EventKind.COMPLETED: 2,
    EventKind.FAILED: 3,
    EventKind.PROGRESSED: 4,
}
GROUP_OUTCOMES: Mapping[GroupOutcome, int] = {
    GroupOutcome.SUCCEEDED: 1,
    GroupOutcome.FAILED: 2,
    GroupOutcome.CANCELLED: 3,
}
REFUSALS: Mapping[Refusal, int] = {
    Refusal.FINAL: 1,
    Refusal.OPEN: 2,
    Refusal.STALE: 3,
    Refusal.CANCELLED: 4,
    Refusal.EXPIRED: 5,
    Refusal.GROUP_CANCELLED: 6,
    Refusal.CLOSED: 7,
    Refusal.OVERLAP: 8,
    Refusal.PARKED: 9,
}
CONFLICTS: Mapping[OnConflict, int] = {
    OnConflict.SKIP: 1,
    OnConflict.RAISE: 2,
    # From here on a job that finds its key taken waits for it.
    OnConflict.WAIT: 3,
    OnConflict.LATEST: 4,
}
STANDINGS: Mapping[Standing, int] = {
    Standing.HOLDING: 1,
    Standing.CALLED: 2,
    Standing.WAITING: 3,
    Standing.SUPERSEDED: 4,
}

LINES: Mapping[Kind, int] = {
    # Never written: a key without a kind is one of slots.
    Kind.SLOTS: 1,
    Kind.RATE: 2,
    # From here on a place is kept from the dispatch on.
    Kind.UNIQUE: 3,
    Kind.QUEUE: 4,
    Kind.CLOCK: 5,
}

UNKNOWN_ORIGIN = 100
"""What a script answers that must know the whole message of a job, because the job is not recorded."""
UNKNOWN_GROUP, CANCELLED_GROUP, COMPLETED_GROUP = 101, 102, 103
"""Why a group takes no member."""
CANCELLING_GROUP = 104
"""Why none of its members can run again."""
OVERLAPPING = 105
"""Another job has a key, and that was to be raised."""
STRAY_JOB = 106
"""A job of a chunk is known as one of another group."""
NOT_ENDED, COMING_BACK, AWAITED_MEMBER = 107, 108, 109
"""Why a job cannot be forgotten."""


def _named(members: Mapping[Enum, int]) -> dict[str, int]:
    return {member.name: code for member, code in members.items()}


def _legal() -> str:
    """The table of legal moves as text: at ten times the state before plus the state after, "1"."""
    cells = ["0"] * 100
    for before, moves in TRANSITIONS.items():
        for after in moves:
            cells[10 * (0 if before is None else STATES[before]) + STATES[after]] = "1"
    return "'" + "".join(cells) + "'"


IN_LUA: Mapping[str, Mapping[str, object]] = {
    "J": JOB,
    "A": ATTEMPT,
    "G": GROUP,
    "E": EVENT,
    "W": WORKER,
    "L": LOCK,
    "PLACE": PLACE,
    "CLAIM": CLAIM,
    "STATE": _named(STATES),  # type: ignore[arg-type]
    "GROUP": _named(GROUP_STATES),  # type: ignore[arg-type]
    "OUTCOME": _named(OUTCOMES),  # type: ignore[arg-type]
    "REASON": _named(REASONS),  # type: ignore[arg-type]
    "KIND": _named(KINDS),  # type: ignore[arg-type]
    "GROUP_OUTCOME": _named(GROUP_OUTCOMES),  # type: ignore[arg-type]
    "REFUSAL": _named(REFUSALS),  # type: ignore[arg-type]
    "CONFLICT": _named(CONFLICTS),  # type: ignore[arg-type]
    "STANDING": _named(STANDINGS),  # type: ignore[arg-type]
    "LINE": _named(LINES),  # type: ignore[arg-type]
    "SAY": {
        "unknown_origin": UNKNOWN_ORIGIN,
        "unknown_group": UNKNOWN_GROUP,
        "cancelled_group": CANCELLED_GROUP,
        "completed_group": COMPLETED_GROUP,
        "cancelling_group": CANCELLING_GROUP,
        "overlapping": OVERLAPPING,
        "stray_job": STRAY_JOB,
        "not_ended": NOT_ENDED,
        "coming_back": COMING_BACK,
        "awaited_member": AWAITED_MEMBER,
    },
    "C": {
        "page": PAGE,
        "layout": LAYOUT,
        "claim": round(EVENT_CLAIM * 1_000_000),
        "legal": _legal(),
        "highest": HIGHEST_PRIORITY,
        "level": LEVEL,
        "unlimited": UNLIMITED,
        "at_once": AT_ONCE,
        "call_lasts": round(CALL_LASTS * 1_000_000),
        "share_made_good": SHARE_MADE_GOOD,
        "least_made_good": LEAST_MADE_GOOD // timedelta(microseconds=1),
        "most_made_good": MOST_MADE_GOOD // timedelta(microseconds=1),
    },
}
"""What stands for what in the Lua sources: ``J.state``, ``STATE.STARTED``, ``C.page``."""
