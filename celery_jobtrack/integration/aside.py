"""A thread that does, in order, what the caller must not wait for."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LONGEST_QUEUE = 10_000


class Aside:
    """Keeps a slow store from stalling a worker's main process, which feeds the pool and the broker."""

    def __init__(self, name: str) -> None:
        self._queue: queue.Queue[Callable[[], object] | None] = queue.Queue(LONGEST_QUEUE)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], object]) -> None:
        """Do ``work`` soon. With very much waiting already it is done here and now."""
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            _do(work)

    def stop(self, timeout: float = 5.0) -> None:
        """Do what is waiting and end, for up to ``timeout`` seconds."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            _do(work)


def _do(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:  # the next one has nothing to do with it
        logger.exception("what a worker's main process wanted recorded is not recorded")
