"""``jobtrack.locks``: who has which key, and who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.errors import InvalidPayload, UnknownLock
from celery_jobtrack.integration.queries import check_cursor, check_limit
from celery_jobtrack.model.lock import Kind, Standing
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import Page

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.lock import LockRecord, Place

SHOWN = 100
"""How many of those who stand at a key are shown with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A key, who has it and who waits for it."""

    key: str
    kind: Kind
    """What it is about."""
    limit: int
    """How many may have it at once; of a rate, how many may start at once."""
    fence: int
    """Of the latest acquisition."""
    rejected: int
    """How many jobs were skipped because it was taken."""
    touched_at: datetime
    """When somebody last came or left."""
    holders: tuple[Place, ...]
    """Who has it, or is called and about to start; the longest standing first."""
    waiting: int
    """How many wait."""
    due_at: datetime | None
    """When the next of those who wait may go because time passes; None: when somebody leaves."""
    line: tuple[Place, ...]
    """The first of those who wait, in their order."""


class Locks:
    """Asks who stands at which key, and takes keys away."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of keys (``Lock``) at which somebody stands or stood lately, by name.

        Args:
            limit: How many at most, from 1 to 1000.
            cursor: What the page before ended with.

        Raises:
            InvalidPayload: The limit or the cursor is none.
        """
        page = self._runtime.store.locks(check_limit(limit), check_cursor(cursor))
        return Page(items=tuple(map(self._shown, page.items)), cursor=page.cursor)

    def get(self, key: str) -> Lock:
        """One key.

        Args:
            key: Its whole name, as ``list`` and ``jobtrack locks`` show it.

        Raises:
            UnknownLock: Nobody has claimed it for a while.
        """
        return self._shown(self._record(key))

    def release(self, key: str) -> Lock:
        """Take a key away from whoever has it, and call who is next.

        A job that is running goes on without it, beside the next one: what it protects should refuse its
        fence. For a job that hangs, cancel it instead: that frees its keys, too.

        Returns:
            The key as it was before.

        Raises:
            UnknownLock: Nobody has claimed it for a while.
        """
        before = self.get(key)
        self._runtime.tracker.release_lock(key)
        return before

    def _record(self, key: str) -> LockRecord:
        check_name("a lock's key", key, InvalidPayload)
        record = self._runtime.store.lock(key)
        if record is None:
            raise UnknownLock(
                f"nobody has claimed the key {key!r} lately in namespace "
                f"{self._runtime.settings.namespace!r}; jobtrack.locks.list() names those that are in use"
            )
        return record

    def _shown(self, record: LockRecord) -> Lock:
        here = self._runtime.store.places(record.key, SHOWN) if not record.is_idle else ()
        return Lock(
            key=record.key,
            kind=record.kind,
            limit=record.limit,
            fence=record.fence,
            rejected=record.rejected,
            touched_at=record.touched_at,
            holders=tuple(place for place in here if place.takes),
            waiting=record.waiting,
            due_at=record.due_at,
            line=tuple(place for place in here if place.standing is Standing.WAITING),
        )
