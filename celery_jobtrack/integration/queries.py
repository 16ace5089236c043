"""Checks of what callers ask listings for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.state import FINAL, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import Enum

S = TypeVar("S", bound="Enum")

LARGEST_PAGE = 1000


def check_limit(limit: Any) -> int:
    """A page's size. Raises InvalidPayload."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_PAGE:
        raise InvalidPayload(f"limit must be a whole number from 1 to {LARGEST_PAGE}, not {limit!r}")
    return limit


def check_cursor(cursor: Any) -> str | None:
    """A cursor that a page gave. Raises InvalidPayload."""
    if cursor is None or isinstance(cursor, str):
        return cursor
    raise InvalidPayload(f"a cursor is what the page before gave, a string, not {cursor!r}")


def check_state(kind: type[S], state: Any) -> S | None:
    """A state, given as such or by its name in any case; None stays None. Raises InvalidPayload."""
    if state is None:
        return None
    try:
        return kind(str(state).upper())
    except ValueError:
        names = ", ".join(str(each.value) for each in kind)
        raise InvalidPayload(f"{str(state)!r} is not a state; it must be one of {names}") from None


def check_final_states(states: Iterable[JobState | str]) -> frozenset[JobState]:
    """Final states, each given as such or by its name. Raises InvalidPayload."""
    given = [states] if isinstance(states, str) else list(states)
    wanted = frozenset(check_state(JobState, str(state)) for state in given)
    for state in wanted - FINAL:
        raise InvalidPayload(f"jobs that are {state} have not ended")
    return frozenset(state for state in wanted if state is not None)


def check_age(older_than: Any) -> float | None:
    """Seconds since an end, given as such or as a ``timedelta``; 0 is allowed. Raises InvalidPayload."""
    if older_than is None:
        return None
    if not isinstance(older_than, bool) and older_than in (0, timedelta()):
        return 0.0
    return check_seconds("older_than", older_than, InvalidPayload)
