"""A clock that tests move."""

from __future__ import annotations

import time


class Clock:
    """How far the store's time is ahead of the machine's."""

    def __init__(self) -> None:
        self._offset = 0.0

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass for the store."""
        self._offset += seconds

    def offset(self) -> float:
        """Seconds to add to the store's own time."""
        return self._offset

    def time(self) -> float:
        """Seconds since 1970, for a store that has no time of its own."""
        return time.time() + self._offset
