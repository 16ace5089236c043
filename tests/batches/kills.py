"""Kills workers while batches run, as the plan says."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.batches.acting import open_calls
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
    actors: int = 0
    """Those of the children that were doing something to a batch."""
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
        kill = self._kills[0]
        victims = self._victims(kill.blow)
        if not victims:  # what it waits for comes again
            return
        del self._kills[0]
        self._seen = journal.count_begun(self._folder)
        self._strike(kill, victims)

    def _victims(self, blow: Blow) -> list[int]:
        """The pids of pool children that may be struck; those of the main processes for whole workers."""
        if blow is Blow.WORKER:
            return [worker.pid for worker in self._staff.workers]
        if blow is Blow.CHILD:
            return working(self._folder, self._staff)
        calls = open_calls(self._folder)
        return [call["pid"] for call in calls if self._staff.owner_of(call["pid"]) is not None]

    def _strike(self, kill: Kill, victims: Sequence[int]) -> None:
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
        pid = victims[int(kill.choice * len(victims))]
        os.kill(pid, signal.SIGKILL)
        self.killed.pids[pid] = time.time()
        self.killed.children += 1
        self.killed.actors += kill.blow is Blow.ACTOR
        logger.info("pool child %s is killed (%s)", pid, kill.blow.value)
