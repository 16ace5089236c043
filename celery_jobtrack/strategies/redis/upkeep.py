"""What the checker asks: what is late, what is lost, what is old; and the leases under which it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import STATES
from celery_jobtrack.strategies.redis.ids import pack_name, unpack_id
from celery_jobtrack.strategies.redis.job_records import load_job
from celery_jobtrack.strategies.redis.packing import microseconds, pack, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.state import JobState

LOOKED_AT = 500
"""How many records one script looks at, or removes: some milliseconds."""
SCRIPTS = 100
"""How many such scripts one call makes, at most."""


class Upkeep(RedisBase):
    """Finds what is late by index, removes what is old, and grants leases to one holder at a time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._continued: dict[tuple[object, ...], bytes] = {}

    def due_groups(self, limit: int) -> Sequence[str]:
        return self._ids("due_groups", limit)

    def cancelled_groups(self, limit: int) -> Sequence[str]:
        return self._ids("cancelled_groups", limit)

    def overdue_queues(self, published_before: datetime) -> Sequence[str]:
        found = self._ask("overdue_queues", b"%d" % to_microseconds(published_before))
        return sorted(queue.decode() for queue in found)

    def overdue_jobs(self, queue: str, published_before: datetime, limit: int) -> Sequence[JobRecord]:
        before = b"%d" % to_microseconds(published_before)
        return self._jobs("by_time", b":d:" + pack_name(queue), before, b"%d" % limit)

    def expired_jobs(self, limit: int) -> Sequence[JobRecord]:
        return self._jobs("by_time", b":x", b"", b"%d" % limit)

    def started_after(self, queue: str, published_at: datetime) -> bool:
        newest = self._run("newest_start", pack_name(queue))
        return newest is not None and int(newest) > to_microseconds(published_at)

    def acquire_lease(self, name: str, holder: str, seconds: float) -> bool:
        return bool(self._run("acquire_lease", pack_name(name), pack_name(holder), microseconds(seconds)))

    def release_lease(self, name: str, holder: str) -> None:
        self._run("release_lease", pack_name(name), pack_name(holder))

    def observe(self, silence: float, lease: float) -> bool:
        return bool(self._run("observe", microseconds(silence), microseconds(lease)))

    # -- what is old -----------------------------------------------------------------------------

    def prune_jobs(
        self,
        state: JobState,
        finished_before: datetime,
        limit: int,
        *,
        tasks: Sequence[str] | None = None,
        without_tasks: Sequence[str] = (),
    ) -> int:
        before = b"%d" % to_microseconds(finished_before)
        only = b"" if tasks is None else pack([pack_name(task) for task in tasks])
        never = pack([pack_name(task) for task in without_tasks])

        def prune(left: int, page: bytes) -> Any:
            return self._ask(
                "prune_jobs",
                b"%d" % STATES[state],
                before,
                b"%d" % left,
                only,
                never,
                page,
                b"%d" % LOOKED_AT,
            )

        return self._in_pieces(("jobs", state, only, never), prune, limit, b"")

    def prune_groups(self, completed_before: datetime, limit: int) -> int:
        before = b"%d" % to_microseconds(completed_before)

        def prune(left: int, begin: bytes) -> Any:
            return self._ask("prune_groups", before, b"%d" % left, begin, b"%d" % LOOKED_AT)

        return self._in_pieces(("groups",), prune, limit, b"0")

    def prune_workers(self, gone_before: datetime, limit: int) -> int:
        removed: int = self._run("prune_workers", b"%d" % to_microseconds(gone_before), b"%d" % limit)
        return removed

    def _ids(self, name: str, limit: int) -> list[str]:
        return [unpack_id(found) for found in self._ask(name, b"%d" % limit)]

    def _jobs(self, name: str, *arguments: bytes) -> list[JobRecord]:
        found = self._ask(name, *arguments)
        return [load_job(unpack_id(found[at]), found[at + 1]) for at in range(0, len(found), 2)]

    def _in_pieces(self, what: tuple[object, ...], prune: Any, limit: int, begin: bytes) -> int:
        """Prune by as many bounded scripts as it takes, each beginning where the one before ended.

        A call that got no further for all that must stay, as the members of a large group that is not
        over, is continued by the next: or it would never see what lies behind them.
        """
        removed: int = 0
        place = self._continued.pop(what, begin)
        for _ in range(SCRIPTS):
            some, following = prune(limit - removed, place)
            removed += some
            if following is False or removed >= limit:
                return removed
            place = b"%d" % following
        self._continued[what] = place
        return removed
