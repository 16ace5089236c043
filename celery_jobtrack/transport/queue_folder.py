"""One queue as a folder: a message is a file, its name is its place in the order.

A message's file changes its suffix as it moves on, always by one atomic rename:

    .part ──os.replace──► .msg ──os.rename──► .claim ──os.unlink──► taken
    being written         ready               being read            (or moved to the rejected ones)

The unlink is what settles who has the message: a claim may be put back while its owner is frozen, and
then two processes hold it, of which only one can unlink it.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

T = TypeVar("T")

READY, WRITING, CLAIMED = ".msg", ".part", ".claim"

#: How long a scan of the folder is worked through before the next one, in seconds. It bounds how late a
#: message that was put back is seen; within it a take costs one rename and not a listing of the folder.
SCAN_LIFETIME = 1.0

#: What a killed process left half-done is looked for this often, in seconds.
SWEEP_INTERVAL = 60.0
#: A claim is held for microseconds: after this long its owner is dead or frozen, in seconds.
CLAIM_LIFETIME = 60.0
#: A write takes milliseconds: after this long nobody will finish it, in seconds.
WRITE_LIFETIME = 3600.0

#: A folder may be removed between making it and writing to it (its queue was deleted), so a few times.
_FOLDER_ATTEMPTS = 10

_counter = itertools.count()


def next_name() -> str:
    """Return a name that sorts after those before it, in all processes of a machine, also after a reboot.

    The wall clock orders processes, the counter orders what one process writes within a clock tick, the
    random part keeps forked siblings apart. A clock that is set back misplaces messages for that long.
    """
    return f"{time.time_ns():020d}-{next(_counter):010d}-{os.urandom(8).hex()}"


class QueueFolder:
    """The messages of one queue, seen by one channel."""

    def __init__(self, path: Path, *, rejected: Path, processed: Path | None = None) -> None:
        self._path = str(path)
        self._rejected = rejected
        self._processed = processed
        self._scan: list[str] = []
        self._scan_ends = 0.0
        self._next_sweep = 0.0

    def put(self, data: bytes, *, name: str | None = None) -> None:
        """Add a message: written aside first, so that no reader ever sees half of it.

        Args:
            data: The whole message.
            name: The name it had, to put it back in its old place; a new one puts it last.
        """
        base = os.path.join(self._path, name or next_name())  # noqa: PTH118 - Path costs more than the write
        aside = base + WRITING
        try:
            with os.fdopen(self._open_new(aside), "wb") as file:
                file.write(data)
            os.replace(aside, base + READY)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)  # noqa: PTH108
            raise

    def take(self, decode: Callable[[bytes], T]) -> tuple[str, T] | None:
        """Take the oldest message, or None when there is none.

        One that cannot be read or decoded is moved to the rejected ones and the next is tried.

        Args:
            decode: Makes a message of bytes; raises ValueError when they are none.

        Returns:
            The message's name, for putting it back, and what `decode` made of it.
        """
        while name := self._next_ready():
            claim = self._file(name, CLAIMED)
            with suppress(FileNotFoundError):  # Another consumer was first, here or at the unlink.
                os.rename(self._file(name, READY), claim)  # noqa: PTH104
                try:
                    message = self._read(claim, decode)
                except (ValueError, PermissionError, IsADirectoryError) as error:
                    self._reject(claim, name, error)
                    continue
                self._settle(claim, name)
                return name, message
        return None

    def size(self) -> int:
        """Count the messages that are ready."""
        return len(self._ready(self._entries()))

    def purge(self) -> int:
        """Delete the messages that are ready and count those deleted here, not by somebody else."""
        deleted = 0
        for name in self._ready(self._entries()):
            with suppress(FileNotFoundError):
                os.unlink(self._file(name, READY))  # noqa: PTH108
                deleted += 1
        return deleted

    def remove(self) -> None:
        """Remove the folder, unless a message has come in meanwhile."""
        self.remove_folder(self._path)

    @staticmethod
    def remove_folder(path: str) -> None:
        """Remove a folder, unless there is something in it."""
        with suppress(OSError):
            os.rmdir(path)  # noqa: PTH106

    def _open_new(self, file: str) -> int:
        for _ in range(_FOLDER_ATTEMPTS):
            try:
                return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                with suppress(FileNotFoundError):  # A parent can go away in between as well.
                    os.makedirs(self._path, exist_ok=True)  # noqa: PTH103
        raise FileNotFoundError(f"{self._path} is removed each time it is made")

    def _next_ready(self) -> str | None:
        now = time.monotonic()
        if not self._scan or now >= self._scan_ends:
            began = time.time_ns()
            entries = self._entries()
            if now >= self._next_sweep:
                self._next_sweep = now + SWEEP_INTERVAL
                self._sweep(entries)
            self._scan = sorted(self._without_gaps(entries, began), reverse=True)
            self._scan_ends = now + SCAN_LIFETIME
        return self._scan.pop() if self._scan else None

    def _without_gaps(self, entries: list[str], began: int) -> list[str]:
        """The ready messages of a listing up to which every publisher's order holds.

        A folder is not listed in one moment: of two files that are added meanwhile, the listing may have
        the later one alone. The earlier one is there when the listing has ended, so a second one has it.

        Args:
            entries: What was listed.
            began: When that began, in nanoseconds since 1970.
        """
        ready = self._ready(entries)
        last = max(ready, default="")
        if last < f"{began:020d}":
            return ready
        return [name for name in self._ready(self._entries()) if name <= last]

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self._path)  # noqa: PTH208
        except FileNotFoundError:
            return []  # Nothing was ever put into this queue.

    def _read(self, claim: str, decode: Callable[[bytes], T]) -> T:
        with open(claim, "rb") as file:  # noqa: PTH123
            return decode(file.read())

    def _settle(self, claim: str, name: str) -> None:
        if self._processed is None:
            os.unlink(claim)  # noqa: PTH108
        else:
            self._processed.mkdir(parents=True, exist_ok=True)
            shutil.move(claim, self._processed / (name + READY))

    def _reject(self, claim: str, name: str, error: Exception) -> None:
        target = self._rejected / (name + READY)
        self._rejected.mkdir(parents=True, exist_ok=True)
        os.replace(claim, target)  # noqa: PTH105
        logger.error(
            "A message of the file-system broker cannot be read (%s: %s). It was moved to %s and will not "
            "be delivered: look at it, then delete it, or mend it and move it to %s.",
            type(error).__name__,
            error,
            target,
            self._path,
        )

    def _sweep(self, entries: list[str]) -> None:
        """Put back the messages of claimants that were killed, delete what was never written to the end."""
        now = time.time()
        for entry in entries:
            file = os.path.join(self._path, entry)  # noqa: PTH118
            with suppress(FileNotFoundError):
                if entry.endswith(CLAIMED) and now - os.stat(file).st_ctime > CLAIM_LIFETIME:  # noqa: PTH116
                    os.rename(file, file.removesuffix(CLAIMED) + READY)  # noqa: PTH104
                elif entry.endswith(WRITING) and now - os.stat(file).st_ctime > WRITE_LIFETIME:  # noqa: PTH116
                    os.unlink(file)  # noqa: PTH108

    def _file(self, name: str, suffix: str) -> str:
        return f"{self._path}{os.sep}{name}{suffix}"

    @staticmethod
    def _ready(entries: list[str]) -> list[str]:
        return [entry.removesuffix(READY) for entry in entries if entry.endswith(READY)]
