"""Halts: queues and tasks of which nothing may start until somebody takes that back.

Users pause and resume them. Here it is called a halt, as jobs that wait for a retry or are parked pause too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_NAME = 240
"""Bytes of UTF-8: the gate's key has some more, and must be one."""


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
