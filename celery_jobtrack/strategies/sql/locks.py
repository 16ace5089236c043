"""What a store answers about keys and those who stand at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, delete, or_, select, text

from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.requests import Page
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.sql.job_queries import JobQueries
from celery_jobtrack.strategies.sql.schema import MARKED
from celery_jobtrack.strategies.sql.statements import in_standings, in_states

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from celery_jobtrack.model.lock import LockRecord, Place


class LockQueries(JobQueries):
    """Reads keys and places, and deletes keys that nobody uses any more."""

    def called_jobs(self, limit: int) -> Sequence[str]:
        return self._marked(Standing.CALLED, limit)

    def superseded_jobs(self, limit: int) -> Sequence[str]:
        return self._marked(Standing.SUPERSEDED, limit)

    def due_keys(self, before: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        locks = self._schema.locks
        statement = (
            select(locks.c.key, locks.c.due_at)
            .where(locks.c.due_at <= before)
            .order_by(locks.c.due_at, locks.c.key)
            .limit(limit)
        )
        return self._answer(
            lambda connection: [(key, due_at) for key, due_at in connection.execute(statement)]
        )

    def lock(self, key: str) -> LockRecord | None:
        locks = self._schema.locks
        statement = select(*self._sql.maps.lock.columns).where(locks.c.key == key)
        found: LockRecord | None = self._record(self._sql.maps.lock, statement)
        return found

    def locks(self, limit: int, cursor: str | None = None) -> Page:
        locks = self._schema.locks
        statement = select(*self._sql.maps.lock.columns).order_by(locks.c.key).limit(limit + 1)
        if cursor is not None:
            statement = statement.where(locks.c.key > cursor)
        found = self._records(self._sql.maps.lock, statement)
        shown = tuple(found[:limit])
        return Page(items=shown, cursor=shown[-1].key if shown and len(found) > limit else None)

    def places(self, key: str, limit: int) -> Sequence[Place]:
        places = self._schema.places
        takes = in_standings(places.c.standing, (Standing.CALLED, Standing.HOLDING))
        statement = (
            select(*self._sql.maps.place.columns)
            .where(places.c.key == key)
            .order_by(case((takes, 0), else_=1), places.c.precedence, places.c.recorded_at, places.c.job_id)
            .limit(limit)
        )
        return self._records(self._sql.maps.place, statement)

    def prune_locks(self, idle_before: datetime, limit: int) -> int:
        """Looked for without waiting for anybody, and deleted under the same guards: one may be used again.

        Whoever waits for a row that goes makes it anew. The guards say what ``LockRecord.may_be_forgotten``
        says.
        """
        locks = self._schema.locks
        idle = [
            locks.c.taken == 0,
            locks.c.waiting == 0,
            locks.c.touched_at < idle_before,
            or_(locks.c.next_at.is_(None), locks.c.next_at < idle_before),
        ]
        statement = select(locks.c.key).where(*idle).limit(limit)

        def prune(connection: Connection) -> int:
            keys = list(connection.scalars(statement))
            if not keys:
                return 0
            return connection.execute(delete(locks).where(locks.c.key.in_(keys), *idle)).rowcount

        return self._write(prune)

    def _marked(self, standing: Standing, limit: int) -> Sequence[str]:
        """Ids of parked jobs that stand so at the key for which they wait, the longest standing first."""
        jobs, places = self._schema.jobs, self._schema.places
        statement = (
            select(places.c.job_id)
            .join(jobs, jobs.c.id == places.c.job_id)
            .where(
                in_standings(places.c.standing, (standing,)),
                text(f"{places.name}.{MARKED}"),
                in_states(jobs.c.state, [JobState.WAITING]),
                jobs.c.waits_for == places.c.key,
            )
            .order_by(places.c.since, places.c.job_id)
            .limit(limit)
        )
        return self._answer(lambda connection: list(connection.scalars(statement)))
