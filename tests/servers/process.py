"""One server process: started on a tether, watched, ended by its pid."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests import processes
from tests.servers.errors import ServerFailedError
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TETHER = Path(__file__).with_name("tether.py")
# Marks what a test session started, see tests/leftovers.py; the rest of the runner's environment
# (PGPORT and the like) must not reach a server.
INHERITED = ("PATH", "JOBTRACK_TEST_SESSION")
PREPARATION_SECONDS = 120
ENDING_SECONDS = 20


def unprivileged_user(preferred: str) -> str | None:
    """The user that a server shall run as: ours, unless we are root, which most servers refuse."""
    if os.geteuid() != 0:
        return None
    for name in (preferred, "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError(f"running as root, and there is no user {preferred} or nobody to run a server as")


class ServerProcess:
    """A running server program.

    Args:
        command: The program and its arguments.
        directory: Its working directory, which holds ``log`` as well.
        log: Where its output is appended.
        user: Who it runs as; ``None`` for the present user.
        environment: What it finds in its environment, beside the little that all servers do.
        death_signal: What the kernel sends to it when the test runner dies.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        log: Path,
        user: str | None,
        environment: Mapping[str, str],
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            # The kernel's death signal is that of the starting *thread*: the server would end with it.
            raise RuntimeError(
                "start servers from the main thread: they end with the thread that starts them"
            )
        self.log = log
        self.name = Path(command[0]).name
        launcher = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(death_signal))]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*launcher, user or "", *command],
                cwd=directory,
                # At its start MariaDB deletes the temporary tables it finds: in a shared TMPDIR, others' too.
                env={"LC_ALL": "C", "HOME": str(directory), "TMPDIR": str(directory)}
                | {name: os.environ[name] for name in INHERITED if name in os.environ}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the runner, which then ends its servers in order
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def exit_status(self) -> int | None:
        """``None`` while it runs."""
        return self._popen.poll()

    def complete(self) -> None:
        """Waits for a program that ends by itself.

        Raises:
            ServerFailedError: It reported a failure, or did not end.
        """
        try:
            status = self._popen.wait(PREPARATION_SECONDS)
        except subprocess.TimeoutExpired:
            self.end()
            raise ServerFailedError(f"{self.name} did not end in {PREPARATION_SECONDS} s", self.log) from None
        if status != 0:
            raise ServerFailedError(f"{self.name} ended with status {status}", self.log)

    def signal(self, signum: signal.Signals, *, whole_tree: bool = False) -> None:
        """Sends ``signum`` to the server, to its child processes as well if ``whole_tree``."""
        for child in processes.descendants(self.pid) if whole_tree else []:
            _send(child.pid, signum)
        if self.exit_status() is None:  # not reaped yet, so the pid is still its own
            _send(self.pid, signum)

    def end(self, *signals: signal.Signals) -> None:
        """Sends each of ``signals`` until one ends the server and its children; at last SIGKILL."""
        tree = processes.descendants(self.pid)
        self.signal(signal.SIGCONT, whole_tree=True)  # a stopped process would not hear the others
        for signum in (*signals, signal.SIGKILL):
            self.signal(signum)
            try:
                self._popen.wait(ENDING_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        # The children of a killed server find that out by themselves; until then they hold its memory.
        wait_until(
            lambda: not any(processes.alive(child.pid) for child in tree),
            ENDING_SECONDS,
            f"the children of {self.name} have ended",
        )


def _send(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
