"""A thread that does one thing again and again until it is told to stop."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Loop:
    """Calls ``work`` every ``interval`` seconds in a daemon thread of its own.

    Args:
        name: Of the thread, and in the log.
        work: A tick; what it raises is logged, once per series of failures, and the loop goes on.
        interval: Seconds between two calls.
    """

    def __init__(self, name: str, work: Callable[[], object], interval: float) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after one interval."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End after the call that is running; waits for it up to ``timeout`` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._call()

    def _call(self) -> None:
        try:
            self._work()
        except StoreUnavailable as error:
            if not self._failing:
                logger.error("%s: %s; trying again every %g s", self._name, error, self._interval)  # noqa: TRY400
            self._failing = True
        except Exception:  # a loop that ends in silence would be worse
            if not self._failing:
                logger.exception("%s failed; trying again every %g s", self._name, self._interval)
            self._failing = True
        else:
            self._failing = False
