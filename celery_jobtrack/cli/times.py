"""Times as people say them, and as they type them."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import tzinfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = {"s": 1, "m": _MINUTE, "min": _MINUTE, "h": _HOUR, "d": _DAY, "w": 7 * _DAY}
_LONGEST = timedelta(days=36500)


def ago(then: datetime | None, now: datetime) -> str:
    """When something was or will be, seen from now: ``12 s ago``, ``in 5 min``, ``now``."""
    if then is None:
        return ""
    seconds = (now - then).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "now"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        if size >= unit:
            said = f"{int(size // unit)} {name}"
            break
    return f"{said} ago" if seconds > 0 else f"in {said}"


def between(low: float, high: float) -> str:
    """A length of time that is known from so many seconds to so many: ``4 to 6 min``, ``up to 20 s``."""
    unit, name = _unit(high)
    last = f"{max(1, math.ceil(high / unit)):,} {name}"
    if low < 1:
        return f"up to {last}"
    unit, name = _unit(low)
    first = f"{int(low // unit):,} {name}"
    if first == last:
        return first
    return f"{first.removesuffix(f' {name}') if last.endswith(f' {name}') else first} to {last}"


def _unit(seconds: float) -> tuple[int, str]:
    """In which a length of time says something, with no more digits than a guess is worth."""
    larger = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"))
    return next((each for each in larger if seconds >= 1.5 * each[0]), (1, "s"))


def at(then: datetime) -> str:
    """The time itself, in UTC."""
    return f"{then.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


class Span(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """A length of time: ``90s``, ``30m``, ``2h``, ``7d``, ``1w``."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ``timedelta``."""
        found = _parsed(str(value))
        if found is None:
            self.fail(f"{value!r} is not a length of time: use 90s, 30m, 2h, 7d or 1w", param, ctx)
        return found


class Since(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """A time in the past: so long ago, or a date."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ``timedelta`` for ``90s``, ``30m``, ``2h``, ``7d``, ``1w``; else a ``datetime``."""
        found = _parsed(str(value))
        if found is not None:
            return found
        try:
            # Python 3.10 does not know the Z.
            return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", str(value).strip()))
        except ValueError:
            self.fail(f"{value!r} is not a time: use 90s, 30m, 2h, 7d, or 2026-12-31T10:00", param, ctx)


def _parsed(typed: str) -> timedelta | None:
    found = re.fullmatch(r"(\d{1,12}) ?(s|m|min|h|d|w)", typed.strip().lower())
    if found is None or int(found[1]) * _UNITS[found[2]] > _LONGEST.total_seconds():
        return None
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def resolve_since(since: timedelta | datetime, *, now: datetime, zone: tzinfo) -> datetime:
    """The moment that is meant; a date without a zone is in the app's."""
    if isinstance(since, timedelta):
        return now - since
    return since.replace(tzinfo=zone) if since.tzinfo is None else since
