"""The ``celery`` processes of a round: two workers and beat, each with its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import processes
from tests.crash import stage
from tests.servers.process import TETHER
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
GONE_SECONDS = 10.0


class Process:
    """One process, which dies with the runner. What it forks is in its process group."""

    def __init__(self, name: str, log: Path, environment: dict[str, str], *arguments: str) -> None:
        """``arguments`` are those of ``celery``."""
        self.name = name
        self.log = log
        self.crew: frozenset[int] = frozenset()
        """Its pids when it became ready."""
        self._log_start = log.stat().st_size if log.exists() else 0
        tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGKILL)), ""]
        command = [sys.executable, "-m", "celery", *arguments]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*tether, *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def children(self) -> list[int]:
        """The pids of a worker's pool children."""
        return [process.pid for process in processes.descendants(self.pid)]

    def pids(self) -> frozenset[int]:
        return frozenset({self.pid, *self.children()})

    def await_ready(self) -> None:
        """Raises AssertionError if it ends before, or does not become ready."""
        wait_until(
            lambda: not self.is_running or b" ready." in self.log.read_bytes()[self._log_start :],
            READY_SECONDS,
            f"{self.name} becomes ready; see {self.log}",
        )
        assert self.is_running, f"{self.name} ended with {self._popen.returncode}; see {self.log}"
        self.crew = self.pids()

    def signal_all(self, signum: signal.Signals) -> None:
        """To the main process and the children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def kill(self) -> None:
        """End it and its children at once, so that nothing can tell anybody anything."""
        self.signal_all(signal.SIGKILL)
        self._popen.wait(GONE_SECONDS)

    def ask_to_stop(self) -> None:
        if self.is_running:
            self._popen.terminate()

    def await_end(self) -> bool:
        """Whether it has ended by itself; else it is killed."""
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True


class Staff:
    """All processes of a round.

    Args:
        folder: Of the round; logs go there.
        settings: Of the app.
        listening: Seconds that a listener takes.
        shop: The module of the app.
        queues: Which queues the workers serve; none for the app's own.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        listening: float,
        *,
        shop: str = "tests.crash.shop",
        queues: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._shop = shop
        self._queues = ("-Q", ",".join(queues)) if queues else ()
        self._environment = {
            **os.environ,
            stage.FOLDER: str(folder),
            stage.SETTINGS: json.dumps(settings),
            stage.LISTENING: str(listening),
            "C_FORCE_ROOT": "1",
            "PYTHONWARNINGS": "default",
        }
        self.workers: list[Process] = []
        self.beat: Process | None = None

    def hire(self) -> None:
        """Start two workers and beat, and wait for the workers."""
        self.workers = [self._start_worker(n) for n in (1, 2)]
        self.start_beat()
        for worker in self.workers:
            worker.await_ready()

    def start_beat(self) -> None:
        schedule = str(self._folder / "beat-schedule")
        self.beat = self._start("beat", "beat", "-l", "INFO", "-s", schedule, "--pidfile=")

    def replace_worker(self, worker: Process) -> Process:
        """A new worker of the same name, as a service manager would start it."""
        at = self.workers.index(worker)
        self.workers[at] = self._start_worker(at + 1)
        return self.workers[at]

    def owner_of(self, pid: int) -> Process | None:
        """The worker whose pool child this is."""
        return next((worker for worker in self.workers if pid in worker.children()), None)

    def dead(self) -> list[Process]:
        """Those that should run and do not."""
        return [process for process in self._everyone() if not process.is_running]

    def revive(self, worker: Process) -> None:
        """Replace a worker that ended by itself, and wait for the new one."""
        worker.kill()  # what it has forked may still be there
        self.replace_worker(worker).await_ready()

    def dismiss(self) -> list[str]:
        """Stop all in order. Returns the names of those that had to be killed."""
        for process in self._everyone():
            process.ask_to_stop()
        return [process.name for process in self._everyone() if not process.await_end()]

    def remains(self) -> list[processes.Process]:
        """Processes of this round that still run, whoever their parent is by now."""
        return processes.marked(stage.FOLDER, str(self._folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """However the round ended, nothing of it goes on."""
        for process in self._everyone():
            process.kill()
        for process in self.remains():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def _everyone(self) -> list[Process]:
        return [*([self.beat] if self.beat else []), *self.workers]

    def _start_worker(self, number: int) -> Process:
        name = f"worker-{number}"
        options = ("-c", "2", "-l", "INFO", "-n", f"{name}@crash", "--without-gossip", "--without-mingle")
        return self._start(name, "worker", *options, *self._queues)

    def _start(self, name: str, *arguments: str) -> Process:
        log = self._folder / f"{name}.log"
        return Process(name, log, self._environment, "-A", self._shop, *arguments)
