"""What a task or a dispatch says about jobs that are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model.overlap import check_key, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

UNTIL = ("end", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """One job of a key is queued or runs at a time; another dispatch of it is skipped.

    Args:
        seconds: For how long a job keeps others away at most, from its dispatch on; a number or a
            ``timedelta``. None: until it starts, or has ended.
        until: ``"end"``, or ``"start"``: the next one may be queued while this one runs.
        key: As for ``Overlap``.

    Raises:
        ValueError: A field is none of these.
    """

    seconds: float | timedelta | None = None
    until: str = "end"
    key: str | Callable[..., str] | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None:
            object.__setattr__(self, "seconds", seconds_of("unique_for", self.seconds))
        if self.until not in UNTIL:
            raise ValueError(f'unique_until is "end" or "start", not {self.until!r}')
        check_key(self.key)
