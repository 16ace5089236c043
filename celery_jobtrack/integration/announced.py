"""Jobs that this process has counted before anybody published them."""

from __future__ import annotations

import threading
from collections import OrderedDict

KEPT = 1000
"""How many are remembered: each task of a chord's header leads to the same body, and is sent right after."""


class Announced:
    """Spares the store being told of the same job by each of the messages that lead to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, job_id: str) -> bool:
        """Whether the store may not know the job."""
        return job_id not in self._ids

    def add(self, job_id: str) -> None:
        """The store knows the job."""
        with self._lock:
            self._ids[job_id] = None
            while len(self._ids) > KEPT:
                self._ids.popitem(last=False)

    def after_fork(self) -> None:
        """A lock that another thread held is held for ever in the child."""
        self._lock = threading.Lock()
