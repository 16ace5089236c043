"""Checks of what callers ask listings for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from celery_jobtrack.errors import InvalidPayload

if TYPE_CHECKING:
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
