"""A server's own directory, and the removal of those that killed runs left behind.

The owner holds a lock on a file inside for as long as it lives. A lock falls with its process, so a
directory whose lock is free is nobody's, and the next run removes it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "jobtrack-test-"
LOCK = "in-use"
SETTLING_SECONDS = 60  # between its creation and its lock, a directory looks abandoned


class Directory:
    """A temporary directory that ``user`` can write to, removed by ``remove()``."""

    def __init__(self, name: str, user: str | None) -> None:
        _remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if user:
            account = pwd.getpwnam(user)
            os.chown(self.path, account.pw_uid, account.pw_gid)

    def remove(self) -> None:
        shutil.rmtree(self.path)
        os.close(self._lock)


def _remove_abandoned() -> None:
    now = time.time()
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or another run removes it at this moment
            if now - path.lstat().st_mtime > SETTLING_SECONDS and _is_abandoned(path / LOCK):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
