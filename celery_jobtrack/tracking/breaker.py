"""Spares callers the wait for a store that is known to be away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from celery_jobtrack.errors import SchemaMismatch, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

SHORTEST = 1.0
"""Seconds for which a store that failed at once is not asked again."""
LONGEST = 30.0
PATIENCE = 2.0
"""So many times as long as the failing call took, others are spared it: a third of the time is waited."""


class Breaker:
    """Lets calls through until one finds the store away, and then none for a while.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open_until = 0.0
        self._reason = ""

    def call(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do ``operation``, or say at once why not.

        Raises:
            StoreUnavailable: The store is away, or was a moment ago.
        """
        began = self._clock()
        if began < self._open_until:
            raise StoreUnavailable(f"{self._reason} (it is asked again in {self._open_until - began:.1f} s)")
        if self._reason:
            # This caller finds out. The others need not wait with it.
            self._open_until = began + LONGEST
        try:
            result = operation(*args, **kwargs)
        except SchemaMismatch:
            self._close()
            raise
        except StoreUnavailable as error:
            now = self._clock()
            self._open_until = now + min(LONGEST, max(SHORTEST, PATIENCE * (now - began)))
            self._reason = str(error)
            raise
        except Exception:
            self._close()
            raise
        if self._reason:
            self._close()
        return result

    def _close(self) -> None:
        """The store has answered."""
        self._reason = ""
        self._open_until = 0.0
