"""A queue whose messages have priorities: a folder for each priority above 0, made when one is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.transport.queue_folder import QueueFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

HIGHEST = 9
"""Priorities go from 0 to this one, which goes first."""


class NumberedQueue:
    """The messages of one queue, highest priority first, seen by one channel.

    Those without a priority have 0 and lie in the queue's own folder, as they would without priorities;
    the others in ``<queue>~priorities/<priority>.queue``, a name that no queue's folder has.

    Args:
        root: The folder of all queues.
        name: The queue, as a file name.
        rejected: The folder of messages that cannot be read.
        processed: The folder of messages that were fetched, if they are kept.
    """

    def __init__(self, root: Path, name: str, *, rejected: Path, processed: Path | None = None) -> None:
        self._root = root
        self._name = name
        self._rejected = rejected
        self._processed = processed
        self._numbered = str(root / f"{name}~priorities")
        self._folders: dict[int, QueueFolder] = {}

    def put(self, data: bytes, *, priority: int = 0, name: str | None = None) -> None:
        """Add a message; with the name that it had, in its old place."""
        self._folder(priority).put(data, name=name)

    def take(self, decode: Callable[[bytes], T]) -> tuple[str, T] | None:
        """Take the oldest message of the highest priority that has one; see ``QueueFolder.take``."""
        for folder in self._present():
            taken = folder.take(decode)
            if taken is not None:
                return taken
        return None

    def size(self) -> int:
        """Count the messages that are ready."""
        return sum(folder.size() for folder in self._present())

    def purge(self) -> int:
        """Delete the messages that are ready and count them."""
        return sum(folder.purge() for folder in self._present())

    def remove(self) -> None:
        """Remove the folders, unless a message has come in meanwhile."""
        for folder in self._present():
            folder.remove()
        QueueFolder.remove_folder(self._numbered)

    def _present(self) -> Iterator[QueueFolder]:
        """The folders that there may be. One look says that there are no priorities, as mostly."""
        try:
            known = set(os.listdir(self._numbered))  # noqa: PTH208
        except FileNotFoundError:
            known = set()
        for priority in range(HIGHEST, 0, -1):
            if f"{priority}.queue" in known:
                yield self._folder(priority)
        yield self._folder(0)

    def _folder(self, priority: int) -> QueueFolder:
        found = self._folders.get(priority)
        if found is None:
            place = f"{self._name}.queue"
            if priority:
                place = f"{self._name}~priorities/{priority}.queue"
            found = self._folders[priority] = QueueFolder(
                self._root / place,
                rejected=self._rejected / place,
                processed=self._processed and self._processed / place,
            )
        return found
