"""Keys: who has one and who waits, whose turn has come; taking one away, and forgetting those of old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.requests import Page
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.ids import pack_key
from celery_jobtrack.strategies.redis.lock_records import load_ids, load_lock, load_place
from celery_jobtrack.strategies.redis.packing import the_moment, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from celery_jobtrack.model.lock import LockRecord, Place

LOOKED_AT = 500
"""How many keys, or jobs, one script looks at: some milliseconds."""
SCRIPTS = 100
"""How many such scripts prune in one call, at most."""


class LockOperations(RedisBase):
    """What is asked of locks from outside of the jobs that claim them."""

    def called_jobs(self, limit: int) -> Sequence[str]:
        return self._parked(b":lc", limit)

    def superseded_jobs(self, limit: int) -> Sequence[str]:
        return self._parked(b":ls", limit)

    def due_keys(self, before: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        found = self._ask("due_keys", b"%d" % to_microseconds(before), b"%d" % limit)
        return [(found[at].decode(), the_moment(found[at + 1])) for at in range(0, len(found), 2)]

    def call_due(self, key: str) -> Sequence[str]:
        return load_ids(self._ask("call_due", pack_key(key)))

    def lock(self, key: str) -> LockRecord | None:
        found = self._ask("lock", pack_key(key))
        return load_lock(key, found) if found else None

    def locks(self, limit: int, cursor: str | None = None) -> Page:
        """A page may be short, or empty, and still not the last: its cursor says so."""
        after = b"-" if cursor is None else b"(" + pack_key(cursor)
        more, last, *found = self._ask("locks_listing", after, b"%d" % min(limit, LOOKED_AT))
        items = tuple(load_lock(name.decode(), its) for name, its in found)
        return Page(items=items, cursor=last.decode() if more else None)

    def places(self, key: str, limit: int) -> Sequence[Place]:
        """Of many that have it, those are given that have had it for the longest."""
        found = self._ask("lock_places", pack_key(key), b"%d" % limit)
        places = [load_place(key, its) for its in found]
        have_it = sorted((place for place in places if place.takes), key=lambda place: place.order)
        return have_it + [place for place in places if not place.takes]

    def release_lock(self, key: str) -> Sequence[str]:
        return load_ids(self._ask("release_lock", pack_key(key)))

    def prune_locks(self, idle_before: datetime, limit: int) -> int:
        before, removed = b"%d" % to_microseconds(idle_before), 0
        for _ in range(SCRIPTS):
            some, more = self._ask("prune_locks", before, b"%d" % (limit - removed), b"%d" % LOOKED_AT)
            removed += some
            if not more or removed >= limit:
                break
        return removed

    def _parked(self, index: bytes, limit: int) -> list[str]:
        return list(load_ids(self._ask("parked_jobs", index, b"%d" % limit, b"%d" % LOOKED_AT)))
