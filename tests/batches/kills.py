"""Kills workers while batches run, as the plan says."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.batches.plan import Blow
from tests.crash import journal
from tests.crash.faults import working

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.batches.plan import Kill
    from tests.crash.staff import Staff

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Killed:
    """Who was killed, and when."""

    pids: dict[int, float] = field(default_factory=dict)
    """What these processes had open at that time may be lost."""
    children: int = 0
    workers: int = 0


class Killing:
    """Strikes as often as bodies have begun, whenever it is asked to look.

    It has no thread of its own: a worker ends with the thread that started it.

    Args:
        kills: Of the plan.
        staff: Whose processes are killed, and replaced at once.
        folder: Of the run.
    """

    def __init__(self, kills: Sequence[Kill], staff: Staff, folder: Path) -> None:
        self._kills = list(kills)
        self._staff = staff
        self._folder = folder
        self._seen = 0
        self.killed = Killed()

    def look(self) -> None:
        """Carry out the next kill, if its time has come. Raises AssertionError if a new worker fails."""
        if not self._kills or journal.count_begun(self._folder) < self._seen + self._kills[0].after:
            return
        kill = self._kills.pop(0)
        self._seen += kill.after
        self._strike(kill)

    def _strike(self, kill: Kill) -> None:
        if kill.blow is Blow.WORKER:
            workers = self._staff.workers
            worker = workers[int(kill.choice * len(workers))]
            pids = worker.pids()
            worker.kill()
            self.killed.pids.update(dict.fromkeys(pids, time.time()))
            self.killed.workers += 1
            logger.info("%s is killed, pids %s", worker.name, sorted(pids))
            self._staff.replace_worker(worker).await_ready()
            return
        victims = working(self._folder, self._staff)
        if not victims:  # the last body ended a moment ago
            return
        pid = victims[int(kill.choice * len(victims))]
        os.kill(pid, signal.SIGKILL)
        self.killed.pids[pid] = time.time()
        self.killed.children += 1
        logger.info("pool child %s is killed", pid)
