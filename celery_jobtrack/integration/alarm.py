"""A thread that sees to it that jobs which wait for a moment go at that moment."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

AFTER_FAILURE = 1.0


class Alarm:
    """Calls ``look`` when something is due, and whenever it is woken.

    Args:
        name: Of the thread, and in the log.
        look: Does what is due. It gives the seconds until more is, or None if it does not know of any.
        at_least_every: Seconds after which it looks anyway; None: only when it is woken, for as long as it
            finds something to do, and once more when that is due which it found first.
    """

    def __init__(self, name: str, look: Callable[[], float | None], at_least_every: float | None) -> None:
        self._name = name
        self._look = look
        self._longest = at_least_every
        self._woken = threading.Event()
        self._stopped = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first look comes after ``at_least_every``, or when it is woken."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look now: something may be due sooner than it knows."""
        self._woken.set()

    def stop(self, timeout: float = 5.0) -> None:
        """End after the look that is going on; waits for it up to ``timeout`` seconds."""
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        wait, may_wait = self._longest, True
        while True:
            may_wait = self._woken.wait(wait) or may_wait
            self._woken.clear()
            if self._stopped:
                return
            wait = self._until_next()
            if self._longest is None and wait is not None:
                wait, may_wait = wait if may_wait or not wait else None, not wait

    def _until_next(self) -> float | None:
        try:
            until = self._look()
        except Exception as error:  # an alarm that ends in silence would be worse
            if not self._failing:
                known = isinstance(error, StoreUnavailable)
                logger.error("%s: %s; trying again", self._name, error, exc_info=not known)  # noqa: TRY400
            self._failing = True
            return AFTER_FAILURE
        self._failing = False
        times = [seconds for seconds in (until, self._longest) if seconds is not None]
        return min(times, default=None)
