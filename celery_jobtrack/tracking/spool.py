"""What could not be recorded while the store was away, kept on the local disk until it is back.

Each process appends to a file of its own, and any process on the machine may replay any file: a crash
of its writer loses nothing. The files of one store lie in one folder.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.tracking.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celery_jobtrack.tracking.entry import Request

logger = logging.getLogger(__name__)

LARGEST = 64 * 1024 * 1024
"""Bytes that one process may keep; a job is some hundred to some thousand."""
REPLAYING = ".replaying"
BAD = ".bad"


class SpoolFull(Exception):
    """The spool of this process has reached its bound."""


class Spool:
    """A folder of facts that wait to be recorded.

    Args:
        folder: Made when it is first needed.
        largest: How many bytes one process may keep.
    """

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self._folder = folder
        self._largest = largest
        self._lock = threading.Lock()
        self._complained = False

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._folder

    def after_fork(self) -> None:
        """Another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def keep(self, request: Request) -> None:
        """Append a fact; it is on the disk when this returns.

        Raises:
            SpoolFull: There is no room for it.
            OSError: The folder cannot be written, or the disk is full. Nothing is left of the fact.
        """
        line = Entry(at=time.time(), request=request).dump()
        with self._lock, self._own_file() as file:
            if self._kept_bytes() + len(line) > self._largest:
                raise SpoolFull(f"the spool in {self._folder} has reached {self._largest} bytes")
            _append(file, line)

    def is_empty(self) -> bool:
        """Whether nothing waits, of any process."""
        return not self._waiting()

    def replay(self, record: Callable[[Request], object]) -> int:
        """Record everything that waits, in order, and drop it.

        Recording twice is the same as recording once, so what is interrupted is begun again. What the
        store refuses, and what is no entry, goes into a file that ends in ``.bad``, and is reported.

        Args:
            record: Records one fact.

        Returns:
            How many facts were recorded.

        Raises:
            StoreUnavailable: The store is away again. Everything stays.
        """
        with self._taken() as taken:
            bad: list[tuple[Path, bytes, Exception]] = []
            entries = [entry for path in taken for entry in self._read(path, bad)]
            closed = {entry.closes for entry in entries}
            recorded = 0
            for entry in sorted(entries, key=lambda entry: entry.order):
                if entry.opens in closed:
                    # Recording the end records the start, and no guard can refuse it any more.
                    continue
                try:
                    record(entry.request)
                except StoreUnavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - it must not hold back the others
                    bad.append((self._folder / f"refused{REPLAYING}", entry.dump(), error))
                else:
                    recorded += 1
            # Not before: a replay that is begun again would set the same lines aside again.
            for path, line, reason in bad:
                _set_aside(path, line, reason)
            for path in taken:
                path.unlink(missing_ok=True)
        if recorded:
            logger.warning("%d facts that were kept while the store was away are recorded", recorded)
        return recorded

    # -- writing -------------------------------------------------------------------------------------

    @contextmanager
    def _own_file(self) -> Iterator[int]:
        """This process's file, locked against whoever wants to replay it."""
        path = self._folder / f"{os.getpid()}.jsonl"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            is_new = not path.exists()
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                # It may have been taken between the two calls.
                if not _is_at(file, path):
                    continue
                if is_new:
                    _sync_folder(self._folder)
                yield file
                return
            finally:
                os.close(file)

    # -- replaying -----------------------------------------------------------------------------------

    def _kept_bytes(self) -> int:
        """What this process has appended and nobody has replayed, also what somebody is just at."""
        mine = (f"{os.getpid()}.", f"{os.getpid()}-")
        found = 0
        for path in self._waiting():
            if path.name.startswith(mine):
                with suppress(FileNotFoundError):  # replayed at this very moment
                    found += path.stat().st_size
        return found

    def _waiting(self) -> list[Path]:
        """The files that may be replayed. What somebody else put there is none of ours."""
        try:
            found = sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            if not self._complained:
                self._complained = True
                logger.error("the spool cannot be read, so nothing of it is replayed: %s", error)  # noqa: TRY400
            return []
        return [path for path in found if path.suffix in {".jsonl", REPLAYING} and _is_ours(path)]

    @contextmanager
    def _taken(self) -> Iterator[list[Path]]:
        """Every file that nobody else is at, renamed so that nobody appends, and locked."""
        taken: list[tuple[Path, int]] = []
        try:
            for path in self._waiting():
                found = self._take(path)
                if found is not None:
                    taken.append(found)
            yield [path for path, _ in taken]
        finally:
            for _, file in taken:
                os.close(file)

    def _take(self, path: Path) -> tuple[Path, int] | None:
        if path.suffix != REPLAYING:
            named = path.with_name(f"{path.stem}-{uuid.uuid4().hex}{REPLAYING}")
            with suppress(FileNotFoundError):
                path.rename(named)
            path = named
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # A writer that opened it before the renaming lets go at once, having written or not.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        if not _is_at(file, path):
            os.close(file)
            return None
        return path, file

    def _read(self, path: Path, bad: list[tuple[Path, bytes, Exception]]) -> list[Entry]:
        entries = []
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entries.append(Entry.load(line))
            except ValueError as error:
                # Also the end of a line that a crash cut off: it was never confirmed to its writer.
                bad.append((path, line, error))
        return entries


def _append(file: int, line: bytes) -> None:
    """Write a whole line and sync it, or leave the file as it was."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        # A process that had this file before was killed in the middle of a line.
        line = b"\n" + line
    try:
        _write_whole(file, line)
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _write_whole(file: int, line: bytes) -> None:
    # A full disk takes what fits and says so; only the next write fails.
    if os.write(file, line) != len(line):
        raise OSError(errno.ENOSPC, "no room for a whole entry")


def _set_aside(path: Path, line: bytes, error: Exception) -> None:
    bad = path.with_suffix(BAD)
    with bad.open("ab") as file:
        file.write(line if line.endswith(b"\n") else line + b"\n")
    logger.error("a fact of the spool cannot be recorded (%s); it is kept in %s", error, bad)


def _is_ours(path: Path) -> bool:
    """Whether it is a file, and of this user: others' files cannot be read, and need not be trusted."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at ``path``."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file))


def _sync_folder(folder: Path) -> None:
    """Without this a crash of the machine may forget that the file is there."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
