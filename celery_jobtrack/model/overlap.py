"""What a task declares about its jobs beside each other: what must not overlap, how many, how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from string import Formatter
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.lock import OnConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """At most one job of a key runs at a time: ``without_overlapping=Overlap(key="report:{month}")``.

    Args:
        key: What must not overlap: a template over the task's arguments, or a function of them. None for
            all arguments: two jobs overlap if they were given the same.
        on_conflict: What becomes of a job whose key is taken: ``"skip"``, ``"raise"``, ``"wait"`` or
            ``"latest"`` (see ``OnConflict``).
        lease: Seconds, or a ``timedelta``, after which another job may take the key although the one that
            has it still runs: for bodies that may hang. ``self.fence`` tells a resource which is the later
            one. None: as long as it runs. Whoever dies leaves the key without that.
        across_retries: Whether a job keeps the key until its last retry has ended; otherwise others may
            run in between.
        shared: Whether other tasks that declare the same key exclude each other, too.

    Raises:
        ValueError: A field is none of these.
    """

    key: str | Callable[..., str] | None = None
    on_conflict: str | OnConflict = OnConflict.SKIP
    lease: float | timedelta | None = None
    across_retries: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        _check(self)
        if self.lease is not None:
            object.__setattr__(self, "lease", seconds_of("lease", self.lease))


@dataclass(frozen=True, slots=True)
class Limit:
    """So many jobs of a key run at a time, or start in a time, across all workers.

    ``max_concurrent=Limit(3, key="{customer}")`` and ``global_rate=Limit("100/m", key="{customer}")``.

    Args:
        count: How many run at a time, at least 1; of a rate how many start in a time, by Celery's notation:
            ``"10/s"``, ``"100/m"``, ``"1000/h"``, and ``"24/d"``.
        key: As for ``Overlap``; None for all jobs of the task.
        on_conflict: As for ``Overlap``.
        across_retries: Whether a job keeps its place while it waits for its next retry.
        shared: Whether other tasks that declare the same key count, too.
        burst: Of a rate: how many may start at once after a rest, at least 1. By default as many as come in
            a tenth of a second: 1 of ``"100/m"``, whose starts are then at least 0.6 seconds apart.

    Raises:
        ValueError: A field is none of these.
    """

    count: int | str
    key: str | Callable[..., str] | None = None
    on_conflict: str | OnConflict = OnConflict.WAIT
    across_retries: bool = False
    shared: bool = False
    burst: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, str):
            per_second = 1.0 / _interval(self.count)
            burst = max(1, round(per_second * _AT_ONCE)) if self.burst is None else self.burst
            object.__setattr__(self, "burst", _at_least_one("burst", burst))
        elif self.burst is not None:
            raise ValueError('burst is of rates: Limit("100/m", burst=10)')
        else:
            _at_least_one("a limit", self.count)
        _check(self)

    @property
    def interval(self) -> float | None:
        """Seconds from one start to the next; None if it is no rate."""
        return _interval(self.count) if isinstance(self.count, str) else None


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smhd])\s*")
_AT_ONCE = 0.1
"""Seconds; what comes in that time may come at once, if nobody says how much may."""


def _interval(rate: str) -> float:
    found = _RATE.fullmatch(rate)
    if found is None or float(found[1]) == 0:
        raise ValueError(
            f'a limit is a whole number from 1, or a rate as "10/s", "100/m", "1000/h", "24/d", not {rate!r}'
        )
    return _UNITS[found[2]] / float(found[1])


def _at_least_one(what: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{what} is a whole number from 1, not {number!r}")
    return number


def seconds_of(name: str, given: object) -> float:
    """A span of time that was declared: seconds or a ``timedelta``. Raises ValueError."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= _LONGEST:
        raise ValueError(f"{name} is a number of seconds or a timedelta, more than 0, not {given!r}")
    return float(seconds)


_LONGEST = 10 * 366 * 86_400.0


def fields_of(template: str) -> tuple[str, ...]:
    """The names of the arguments that a key's template uses.

    Raises:
        ValueError: It is no template, or it looks into an argument by attribute.
    """
    names = []
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"the key {template!r} is no template: {error}") from None
    for _, name, nested, _ in parts:
        if name is None:
            continue
        if "." in name or "{" in (nested or ""):
            # A dispatch may come from anywhere, and attributes lead to everything.
            raise ValueError(f"{{{name}}} looks into an argument; use a function of the arguments as key")
        bare = name.partition("[")[0]
        if not bare.isidentifier():
            raise ValueError(f"{{{name}}} does not name an argument")
        names.append(bare)
    return tuple(names)


def fill(template: str, arguments: Mapping[str, Any]) -> str:
    """A key's template with the arguments of one job.

    Raises:
        LookupError, TypeError, ValueError: An argument is missing, or does not fit.
    """
    return template.format_map(dict(arguments))


def check_key(key: object) -> None:
    """See that keys can be made of this. Raises ValueError."""
    if isinstance(key, str):
        if not key:
            raise ValueError("key is empty; leave it out to use all arguments")
        fields_of(key)
    elif key is not None and not callable(key):
        raise ValueError(f"key is a template, a function or None, not {key!r}")


def _check(declared: Overlap | Limit) -> None:
    try:
        on_conflict = OnConflict(declared.on_conflict)
    except ValueError:
        choices = ", ".join(repr(str(each)) for each in OnConflict)
        raise ValueError(f"on_conflict is one of {choices}, not {declared.on_conflict!r}") from None
    object.__setattr__(declared, "on_conflict", on_conflict)
    for name in ("across_retries", "shared"):
        if not isinstance(getattr(declared, name), bool):
            raise ValueError(f"{name} is True or False, not {getattr(declared, name)!r}")  # noqa: TRY004
    check_key(declared.key)
    if declared.shared and declared.key is None:
        raise ValueError("shared = True needs a key: arguments alone do not say what tasks share")
