"""Halts: queues and tasks of which nothing may start until somebody takes that back.

Users pause and resume them. Here it is called a halt, as jobs that wait for a retry or are parked pause too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord

LONGEST_NAME = 240
"""Bytes of UTF-8: the gate's key has some more, and must be one."""
_GATE = "gate:"


class HaltKind(str, Enum):
    """What can be paused."""

    QUEUE = "queue"
    TASK = "task"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A queue or a task that is paused."""

    kind: HaltKind
    name: str
    since: datetime
    reason: str | None = None
    """Why, as whoever paused it said."""
    lifted: bool = False
    """Whether it was resumed, and of those who wait at its gate some are still to be called."""

    def holds(self, job: JobRecord) -> bool:
        """Whether a job may not start because of it."""
        return not self.lifted and self.name == (job.queue if self.kind is HaltKind.QUEUE else job.task)

    def evolve(self, **changes: Any) -> Halt:
        """A copy with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What came of lifting a halt."""

    applied: bool
    """Whether it held until now."""
    called: tuple[str, ...] = ()
    """Ids of parked jobs whose turn has come: the first of those who wait."""


def gate_of(kind: HaltKind, name: str) -> str:
    """The key of the gate before a queue or a task."""
    return f"{_GATE}{kind}:{name}"


def is_gate(key: str) -> bool:
    """Whether a key is that of a gate."""
    return key.startswith(_GATE)


def gates_before(halts: Iterable[Halt], job: JobRecord) -> list[str]:
    """The gates that are closed before a job, in the order of their keys."""
    return sorted(gate_of(halt.kind, halt.name) for halt in halts if halt.holds(job))
