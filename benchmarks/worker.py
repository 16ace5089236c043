"""A real ``celery worker`` of a case, and what its jobs cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery

from benchmarks import marks
from benchmarks.app import MEASURED, WARM_UP
from tests.servers.process import TETHER
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.case import Case

CHILDREN = 2
NODE = "measured@benchmarks"
START_SECONDS = 60.0
STALL_SECONDS = 60.0
"""How long a worker may go without running a single job."""


class BrokenRunError(RuntimeError):
    """A measurement that did not do what it should have measured."""


def produce(case: Case, warm_up: int, jobs: int) -> dict[str, float]:
    """Publish a case's jobs from a process of their own; gives what one publish cost it.

    Raises:
        BrokenRunError: The producer failed.
    """
    command = [sys.executable, "-m", "benchmarks.producer", str(warm_up), str(jobs)]
    done = subprocess.run(
        command,
        env=case.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokenRunError(f"the producer failed:\n{done.stderr[-2000:]}")
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


class Worker:
    """A running worker that has consumed the warm-up queue and nothing else."""

    def __init__(self, case: Case, process: subprocess.Popen[bytes], log: Path, node: str = NODE) -> None:
        self._case = case
        self._node = node
        self._process = process
        self._log = log
        self._marks = Path(case.marks)

    @property
    def pid(self) -> int:
        return self._process.pid

    def warm(self, jobs: int) -> None:
        """Wait until the warm-up has run, then forget it."""
        self._await(jobs)

    def begin(self) -> None:
        """Count from now on, and let the worker at the measured jobs."""
        marks.reset(self._marks)
        consume(self._case, [self._node])

    def complete(self, jobs: int) -> marks.Runs:
        """Wait for the last job; gives what ran."""
        self._await(jobs)
        return marks.read(self._marks)

    def _await(self, jobs: int) -> None:
        seen = 0
        while seen < jobs:

            def more(seen: int = seen) -> bool:
                if self._process.poll() is not None:
                    raise self._broken("the worker has ended")
                return marks.read(self._marks).count > seen

            try:
                wait_until(more, STALL_SECONDS if seen else START_SECONDS)
            except AssertionError:
                raise self._broken(f"{jobs - seen} of {jobs} jobs are missing") from None
            seen = marks.read(self._marks).count
        if seen > jobs:
            raise self._broken(f"{seen} jobs ran, of {jobs} that were published")

    def _broken(self, what: str) -> BrokenRunError:
        lines = self._log.read_text(errors="replace").splitlines()[-20:]
        return BrokenRunError("\n".join([what, *lines]))

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def consume(case: Case, nodes: Sequence[str]) -> None:
    """Let workers at the measured jobs, all at once.

    Raises:
        BrokenRunError: Not all have said that they do.
    """
    with Celery(broker=case.conf["broker_url"], set_as_current=False) as app:
        answers = app.control.add_consumer(
            MEASURED, destination=list(nodes), reply=True, timeout=10, limit=len(nodes)
        )
    if sum("ok" in told for answer in answers for told in answer.values()) != len(nodes):
        raise BrokenRunError(f"not all of {nodes} consume the measured jobs: {answers}")


@contextmanager
def running(
    case: Case, folder: Path, options: Sequence[str] = (), *, node: str = NODE, children: int = CHILDREN
) -> Iterator[Worker]:
    """A worker of this case with two pool children, as users start it; it logs warnings only."""
    log = folder / f"{node}.log"
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.app", "worker", "-l", "WARNING"]
    worker += ["-P", "prefork", "-c", str(children), "-n", node, "-Q", WARM_UP, *options]
    tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGTERM)), ""]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*tether, *worker],
            env=case.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Worker(case, process, log, node)
    try:
        yield started
    finally:
        started.stop()
