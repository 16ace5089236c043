"""MessagePack as Redis reads and writes it in Lua, and the values that need a form of their own."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import msgpack

from celery_jobtrack.errors import InvalidPayload

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LARGEST = 2**53
"""Lua counts in doubles: a whole number beyond this would be another one afterwards."""
_MICROSECOND = timedelta(microseconds=1)

# The old format has one type for text and bytes, and so has Lua. Half of a surrogate pair is written out.
_pack = partial(msgpack.packb, use_bin_type=False, unicode_errors="backslashreplace")
unpack = partial(msgpack.unpackb, raw=True, strict_map_key=False)


def pack(value: Any) -> bytes:
    """The value's bytes."""
    packed: bytes = _pack(value)
    return packed


def fields(value: Any) -> dict[int, Any]:
    """The fields of a Lua table by their numbers. One without gaps comes as a list."""
    return dict(enumerate(value, 1)) if isinstance(value, list) else value


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly. ``moment`` must be aware."""
    return (moment - EPOCH) // _MICROSECOND


def moment(microseconds: int | None) -> datetime | None:
    """The aware moment in UTC, exactly; None of None."""
    return None if microseconds is None else EPOCH + timedelta(0, 0, microseconds)


def the_moment(microseconds: int) -> datetime:
    """The aware moment in UTC, exactly."""
    return EPOCH + timedelta(0, 0, microseconds)


def microseconds(duration: float) -> bytes:
    """A duration in seconds as the scripts take it: whole microseconds."""
    return b"%d" % round(finite(duration) * 1_000_000)


def exact_microseconds(duration: float) -> int:
    """A duration in seconds in whole microseconds, as ``timedelta`` counts them.

    Raises:
        InvalidPayload: It is no finite number, or too large to be kept exactly.
    """
    whole(round(finite(duration) * 1_000_000))
    return timedelta(seconds=duration) // _MICROSECOND


def finite(number: float) -> float:
    """The number. Raises InvalidPayload if it is none, or infinite."""
    number = float(number)
    if not math.isfinite(number):
        raise InvalidPayload(f"{number} cannot be kept: it is not a finite number")
    return number


def whole(number: int) -> int:
    """The number. Raises InvalidPayload if it is larger than Redis can keep exactly."""
    number = int(number)
    if not -LARGEST <= number <= LARGEST:
        raise InvalidPayload(f"{number} cannot be kept: it is not between -2**53 and 2**53")
    return number
