"""The states of jobs and groups, the reasons for them, and the table of legal moves."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Name(str, Enum):
    """A string enumeration that prints as its value (``enum.StrEnum`` needs Python 3.11)."""

    def __str__(self) -> str:
        return str(self.value)


class JobState(_Name):
    """Where a job stands. Celery's names where Celery has one."""

    ENQUEUED = "ENQUEUED"
    """Recorded, before its message is published; with a future ``eta`` it is scheduled."""
    WAITING = "WAITING"
    """Parked in the store behind a lock or a limit; no message is in the broker."""
    STARTED = "STARTED"
    """An attempt is open."""
    RETRY = "RETRY"
    """The message of the next retry is about to be sent, or is waiting."""
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"
    SKIPPED = "SKIPPED"

    @property
    def is_final(self) -> bool:
        """Whether nothing but an explicit redrive moves a job out of this state."""
        return self in FINAL


FINAL = frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED})
QUEUED = frozenset({JobState.ENQUEUED, JobState.RETRY})
"""States in which a message of the job should be in the broker or in a worker's memory."""
REDRIVEN = FINAL - {JobState.SUCCESS}
"""States from which a job may be redriven."""


class Reason(_Name):
    """Why a job ended as it did."""

    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    UNKNOWN_TASK = "unknown_task"
    PUBLISH_FAILED = "publish_failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    TERMINATED = "terminated"
    GROUP_CANCELLED = "group_cancelled"
    OVERLAP = "overlap"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


REASONS: Mapping[JobState, frozenset[Reason]] = MappingProxyType(
    {
        JobState.FAILURE: frozenset(
            {
                Reason.ERROR,
                Reason.TIMEOUT,
                Reason.WORKER_LOST,
                Reason.UNKNOWN_TASK,
                Reason.PUBLISH_FAILED,
                Reason.REJECTED,
            }
        ),
        JobState.REVOKED: frozenset(
            {Reason.CANCELLED, Reason.EXPIRED, Reason.TERMINATED, Reason.GROUP_CANCELLED}
        ),
        JobState.SKIPPED: frozenset({Reason.OVERLAP, Reason.DUPLICATE, Reason.IGNORED}),
    }
)
"""Which reasons go with which final state. ``SUCCESS`` needs none."""

_S = JobState
TRANSITIONS: Mapping[JobState | None, Mapping[JobState, str]] = MappingProxyType(
    {
        None: {
            _S.ENQUEUED: "enqueue",
            _S.WAITING: "park at the dispatch, or at the start of an id that the store did not know",
            _S.STARTED: "start of an id that the store did not know",
            _S.SKIPPED: "skip at the dispatch, or at the start of an id that the store did not know",
            _S.FAILURE: "settle an id that the store did not know",
            _S.REVOKED: "settle an id that the store did not know",
        },
        _S.ENQUEUED: {
            _S.WAITING: "park",
            _S.STARTED: "start",
            _S.SUCCESS: "settle a member that is a group",
            _S.FAILURE: "settle",
            _S.REVOKED: "settle",
            _S.SKIPPED: "settle",
        },
        _S.WAITING: {
            _S.ENQUEUED: "release",
            _S.FAILURE: "settle",
            _S.REVOKED: "settle",
            _S.SKIPPED: "settle",
        },
        _S.STARTED: {
            _S.ENQUEUED: "requeue or replace",
            _S.RETRY: "retry",
            _S.SUCCESS: "finish",
            _S.FAILURE: "finish",
            _S.REVOKED: "finish",
            _S.SKIPPED: "finish",
        },
        _S.RETRY: {
            _S.WAITING: "park",
            _S.STARTED: "start",
            _S.FAILURE: "settle",
            _S.REVOKED: "settle",
            _S.SKIPPED: "settle",
        },
        _S.SUCCESS: {},
        _S.FAILURE: {_S.ENQUEUED: "redrive"},
        _S.REVOKED: {_S.ENQUEUED: "redrive"},
        _S.SKIPPED: {_S.ENQUEUED: "redrive"},
    }
)
"""Every legal move and the operation that makes it. What is not here cannot be written."""


def is_legal(before: JobState | None, after: JobState) -> bool:
    """Whether a job may move from ``before`` (None: not recorded yet) to ``after``."""
    return after in TRANSITIONS[before]


class Outcome(_Name):
    """How an attempt was closed."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    RETRY = "RETRY"
    REVOKED = "REVOKED"
    SKIPPED = "SKIPPED"
    REQUEUED = "REQUEUED"
    """Given back to the broker (``Reject(requeue=True)``): the job is queued again."""
    REPLACED = "REPLACED"
    """``Task.replace``: the job goes on under the replacement's message."""
    LOST = "LOST"
    """Closed by the reaper, or by its worker's goodbye: the worker did not tell."""


STATE_AFTER: Mapping[Outcome, JobState] = MappingProxyType(
    {
        Outcome.SUCCESS: _S.SUCCESS,
        Outcome.FAILURE: _S.FAILURE,
        Outcome.RETRY: _S.RETRY,
        Outcome.REVOKED: _S.REVOKED,
        Outcome.SKIPPED: _S.SKIPPED,
        Outcome.REQUEUED: _S.ENQUEUED,
        Outcome.REPLACED: _S.ENQUEUED,
        Outcome.LOST: _S.FAILURE,
    }
)
"""The state in which closing an attempt leaves its job."""


class GroupState(_Name):
    """Where a group stands."""

    AWAITING = "AWAITING"
    """No member of this generation has started."""
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    """The flag is set; ``completed_at`` says when the last outstanding member was settled."""


class EventKind(_Name):
    """The events of a group."""

    STARTED = "job_group_started"
    COMPLETED = "job_group_completed"
    FAILED = "job_group_failed"
    """The first member failed for good; only for groups that want to know (see ``GroupRecord``)."""
    PROGRESSED = "job_group_progressed"
    """So many members have ended; only for groups with a callback for it."""


class GroupOutcome(_Name):
    """What a completed generation of a group came to."""

    SUCCEEDED = "SUCCEEDED"
    """Every member succeeded or was skipped."""
    FAILED = "FAILED"
    """A member failed or was revoked, or not all could be dispatched."""
    CANCELLED = "CANCELLED"
    """Somebody cancelled the group; not: its first failure did."""


class CallbackKind(_Name):
    """When a group's callback is due."""

    BEFORE = "before"
    """When the first member starts."""
    PROGRESS = "progress"
    """Each time that so many members more have ended."""
    THEN = "then"
    """When all members have succeeded."""
    CATCH = "catch"
    """When the first member fails, once."""
    FINALLY = "finally"
    """When all members have ended, however."""
