"""Waiting on conditions: the only way in which a test lets time pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.1


def wait_until(predicate: Callable[[], T], timeout: float = 10.0, message: str = "") -> T:
    """Polls ``predicate`` until it returns something true, and returns that.

    Args:
        predicate: What is waited for. What it raises goes to the caller at once.
        timeout: Bound in seconds. The predicate is asked at least once, and once more at the end.
        message: What was expected, for the error; by default the predicate's name.

    Raises:
        AssertionError: The bound was reached; names what was expected and the last value seen.
    """
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            expected = message or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not within {timeout:g} s: {expected} (last value: {value!r})")
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, LONGEST_PAUSE)
