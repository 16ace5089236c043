"""The work directory of the demonstration: held by one run at a time, emptied at its start."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from celery_jobtrack.errors import SchemaMismatch
from example_app.app import jobtrack

OURS = ("messages", "control", "census", "arrivals", "jobtrack.db*", "beat-schedule*", "*.log")
"""What is removed at the start of a run; anything else in the directory is left alone."""

HELD_FOR = 15.0
"""Seconds for which a run waits for the last processes of one that was killed."""


class CannotRunError(Exception):
    """Nothing was started, for this reason; one line."""


class Workplace:
    """A directory under a lock.

    The lock is the run's and its children's: while a worker of a run that was killed still finishes what
    it has begun, the next run waits.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = -1
        """The file descriptor that children inherit."""

    def occupy(self, check: Callable[[], None]) -> None:
        """Take the lock.

        Args:
            check: Called while waiting; may raise.

        Raises:
            CannotRunError: The directory cannot be used, or another run is using it.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise CannotRunError(
                f"the work directory {self.home} cannot be used: {error.strerror}"
            ) from error
        deadline = time.monotonic() + HELD_FOR
        while not self._locked():
            check()
            holder = int(os.pread(self.lock, 20, 0) or 0)
            if _alive(holder) or time.monotonic() > deadline:
                raise CannotRunError(
                    f"another run (pid {holder}) is using {self.home}; wait for it, or set CENSUS_HOME"
                )
            time.sleep(0.1)
        os.truncate(self.lock, 0)
        os.pwrite(self.lock, str(os.getpid()).encode(), 0)

    def _locked(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def require_unused(self) -> None:
        """Check that no worker uses what ``clear`` is going to remove: one started by hand, say.

        Raises:
            CannotRunError: One does.
        """
        if not (self.home / "jobtrack.db").exists():
            return
        with suppress(SchemaMismatch):  # Of another version, so of no worker of this one.
            for worker in filter(lambda worker: _alive(worker.pid), jobtrack.inspect.workers()):
                who = f"worker {worker.name} (pid {worker.pid})"
                raise CannotRunError(f"{who} is using {self.home}; stop it, or use --keep")
        jobtrack.close()

    def clear(self) -> None:
        """Remove what an earlier run left."""
        for pattern in OURS:
            for entry in self.home.glob(pattern):
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
