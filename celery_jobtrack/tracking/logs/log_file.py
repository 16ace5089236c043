"""A file that any number of processes append lines to."""

from __future__ import annotations

import errno
import logging
import time
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

QUIET = 3600.0
"""Seconds for which a file that cannot be written is not warned of again."""


class LogFile(WatchedFileHandler):
    """Appends each line by one write, so that lines of several processes do not mix.

    It is opened with its first line, and anew when it was moved away. A line that cannot be written is
    left out, with a warning now and then, and nothing is raised.

    Args:
        path: Of the file.
        clock: The time in seconds, to count from.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(path, delay=True)
        self._clock = clock
        self._warned_at: float | None = None
        self._is_torn = False
        """Whether the last line is there in part: a full disk takes as much as it can hold."""

    def append(self, line: str) -> None:
        """Append one line, given without its end."""
        self.handle(logging.makeLogRecord({"msg": line}))

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record's message."""
        try:
            self.reopenIfNeeded()
            if self.stream is None:
                self.stream = self._open()
            self._write(self.stream, f"{record.msg}\n".encode())
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            self._warn(error)

    def let_go(self) -> None:
        """Close the file until the next line.

        For a forked child: whoever closes what it inherited leaves it a number that is another file's soon.
        """
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()

    def _open(self) -> Any:
        self._is_torn = False
        # Without a buffer, which would keep what a full disk did not take, and write it in pieces later.
        return Path(self.baseFilename).open("ab", buffering=0)

    def _write(self, stream: Any, line: bytes) -> None:
        whole = b"\n" + line if self._is_torn else line
        written = stream.write(whole)
        self._is_torn = written != len(whole)
        if self._is_torn:
            raise OSError(errno.ENOSPC, f"only {written} of {len(whole)} bytes were written")

    def _warn(self, error: Exception) -> None:
        now = self._clock()
        if self._warned_at is None or now - self._warned_at >= QUIET:
            self._warned_at = now
            logger.warning("%s cannot be written: %s; jobs go on without it", self.baseFilename, error)
