"""The worker and beat as child processes: real ones, started as one would by hand."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

WARM = 8.0
"""Seconds for which a child may finish what it is doing."""
COLD = 3.0
"""Seconds which are left to it after that."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Child:
    """A child process whose output goes to a file, and which does not outlive its parent.

    Args:
        name: What it is called.
        command: What is run, by this Python: ``["-m", "celery", …]``.
        log: The file that its output is added to.
        keeping: A file descriptor that it inherits.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, keeping: int) -> None:
        self.name = name
        self.log = log
        self._sent: set[int] = set()
        with log.open("ab") as output:
            # In a session of its own, a Ctrl-C at the terminal reaches the parent only, who stops the
            # child in good order; and its whole process group can be ended.
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(keeping,),
                preexec_fn=_dies_with(os.getpid()),  # noqa: PLW1509 - the parent has no threads yet
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        return (
            f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        )

    def tail(self, lines: int = 15) -> list[str]:
        """The last lines of its log."""
        with self.log.open(errors="replace") as log:
            return [line.rstrip() for line in deque(log, lines)]

    def signal_once(self, signum: int) -> None:
        """Send a signal to it, not to its own children, unless it had that one before."""
        if signum not in self._sent:
            self._sent.add(signum)
            with suppress(ProcessLookupError):
                self._process.send_signal(signum)

    def end_group(self) -> None:
        """Kill what is left of it and its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def worker(home: Path, *, concurrency: int, keeping: int) -> Child:
    """Start a worker with the prefork pool."""
    command = (
        f"-m celery -A example_app.app worker --pool prefork --concurrency {concurrency} --loglevel INFO"
    )
    # There is nobody to gossip and mingle with, and mingling takes a second.
    command += " --without-gossip --without-mingle"
    return Child("worker", command.split(), home / "worker.log", keeping)


def beat(home: Path, *, keeping: int) -> Child:
    """Start beat, which runs what is scheduled: here the checker of celery-jobtrack."""
    command = ["-m", "celery", "-A", "example_app.app", "beat", "--loglevel", "INFO", "--pidfile", ""]
    command += ["--schedule", str(home / "beat-schedule")]
    return Child("beat", command, home / "beat.log", keeping)


def ask_to_stop(children: Sequence[Child]) -> None:
    """Have child processes finish what they have begun, and end; does not wait for them."""
    for child in children:
        child.signal_once(signal.SIGTERM)


def stop(children: Sequence[Child], hurry: Callable[[], bool]) -> None:
    """End child processes: warm (they finish what they have begun), then cold, then by force.

    Args:
        children: Those to end, together.
        hurry: Whether the user has lost patience: no more waiting then.
    """
    for signum, seconds in ((signal.SIGTERM, WARM), (signal.SIGQUIT, COLD)):
        for child in children:
            child.signal_once(signum)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not hurry():
            if all(child.ended() for child in children):
                break
            time.sleep(0.02)
    for child in children:
        child.end_group()


def _dies_with(parent: int) -> Callable[[], None] | None:
    """Arrange that a child is asked to stop when its parent dies, however that happens. Linux only."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # It died before that.
            os._exit(1)

    return arrange
