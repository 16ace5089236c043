"""Moments as users give them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from celery_jobtrack.errors import InvalidPayload


def given_time(when: Any, app: Any) -> datetime:
    """A moment, aware.

    Args:
        when: A ``datetime``, an ISO 8601 string, or seconds since 1970. Naive means the app's time zone.
        app: The Celery app.

    Raises:
        InvalidPayload: It is none of these.
    """
    if isinstance(when, bool) or not isinstance(when, (datetime, int, float, str)):
        raise InvalidPayload(f"a time is a datetime, an ISO 8601 string or seconds since 1970, not {when!r}")
    try:
        if isinstance(when, str):
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        if isinstance(when, datetime):
            return when if when.tzinfo else when.replace(tzinfo=app.timezone)
        return datetime.fromtimestamp(when, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidPayload(f"{when!r} is not a time: {error}; write 2026-12-31 10:00:00") from error


def given_deadline(when: Any, app: Any) -> datetime:
    """A moment that is still to come, in UTC; a ``timedelta`` counts from now. Raises InvalidPayload."""
    now = datetime.now(timezone.utc)
    try:
        deadline = (
            now + when if isinstance(when, timedelta) else given_time(when, app).astimezone(timezone.utc)
        )
    except OverflowError as error:
        raise InvalidPayload(f"the deadline {when!r} is out of the calendar") from error
    if deadline <= now:
        raise InvalidPayload(f"the deadline {deadline.isoformat(sep=' ', timespec='seconds')} has passed")
    return deadline
