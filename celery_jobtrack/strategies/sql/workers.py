"""Workers, their leases, and what they left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import BigInteger, bindparam, case, exists, select, update

from celery_jobtrack.strategies.sql.job_queries import JobQueries
from celery_jobtrack.strategies.sql.statements import insert_if_absent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from celery_jobtrack.model.job import Attempt
    from celery_jobtrack.model.requests import Worker, WorkerRecord
    from celery_jobtrack.strategies.row.rows import Rows
    from celery_jobtrack.strategies.sql.rows import SqlRows

LAST_LOOK = "last look"
PAUSE = "no reaping"
_ALIVE = ("stopped_at", None)


class WorkerOperations(JobQueries):
    """Register, hear of, and give up workers."""

    def register_worker(self, worker: Worker, lease: float) -> None:
        self._keep(worker, lease, self._clock.expression)

    def heartbeat(self, worker: Worker, lease: float) -> None:
        since = case((self._is_alive(), self._schema.workers.c.registered_at), else_=self._clock.expression)
        self._keep(worker, lease, since)

    def _keep(self, worker: Worker, lease: float, registered_at: ColumnElement[Any]) -> None:
        """Write or renew a worker's row: two guarded statements, the second only for a new worker.

        Of two calls that both find no row, one inserts it and the other has nothing left to do.
        """
        workers, now = self._schema.workers, self._clock.expression
        until = now + bindparam("lease", type_=BigInteger)
        about = {"name": worker.name, "pid": worker.pid}
        times = {"heartbeat_at": now, "lease_until": until}
        renew = (
            update(workers)
            .where(workers.c.id == worker.id)
            # MySQL assigns from left to right: what the first value reads is written after it.
            .ordered_values(("registered_at", registered_at), *about.items(), *times.items(), _ALIVE)
        )
        insert = insert_if_absent(workers, self._dialect).values(
            id=worker.id, registered_at=now, **about, **times
        )
        parameters = {**self._clock.parameters(), "lease": round(lease * 1_000_000)}

        def write(connection: Connection) -> None:
            if not connection.execute(renew, parameters).rowcount:
                connection.execute(insert, parameters)

        self._write(write)

    def stop_worker(self, worker_id: str) -> None:
        """Guarded by ``stopped_at``: who is gone does not go again. The lease never grows."""
        workers, now = self._schema.workers, self._clock.expression
        statement = (
            update(workers)
            .where(workers.c.id == worker_id, workers.c.stopped_at.is_(None))
            .values(
                lease_until=case((workers.c.lease_until < now, workers.c.lease_until), else_=now),
                stopped_at=now,
            )
        )
        self._write(lambda connection: connection.execute(statement, self._clock.parameters()))

    def workers(self, *, alive: bool = True) -> Sequence[WorkerRecord]:
        statement = select(*self._sql.maps.worker.columns)
        if alive:
            statement = statement.where(self._is_alive())
        found = self._records(self._sql.maps.worker, statement, **self._clock.parameters())
        # Not by the database: each collates in its own way.
        return sorted(found, key=lambda worker: worker.name)

    def lost_attempts(self, limit: int) -> Sequence[Attempt]:
        attempts, workers = self._schema.attempts, self._schema.workers
        statement = (
            select(*self._sql.maps.attempt.columns)
            .where(
                attempts.c.outcome.is_(None),
                ~exists().where(workers.c.id == attempts.c.worker_id, self._is_alive()),
            )
            .order_by(attempts.c.seq)
            .limit(limit)
        )
        return self._records(self._sql.maps.attempt, statement, **self._clock.parameters())

    def open_attempts(self, worker_id: str, limit: int) -> Sequence[Attempt]:
        attempts = self._schema.attempts
        statement = (
            select(*self._sql.maps.attempt.columns)
            .where(attempts.c.outcome.is_(None), attempts.c.worker_id == worker_id)
            .order_by(attempts.c.seq)
            .limit(limit)
        )
        return self._records(self._sql.maps.attempt, statement)

    def observe(self, silence: float, lease: float) -> bool:
        """The last look and the end of the pause are two leases that nobody holds.

        The row of the last look is locked, so of two who look after a silence one begins the pause and
        the other finds it.
        """
        leases, workers = self._schema.leases, self._schema.workers
        until = select(leases.c.until)
        last_look = until.where(leases.c.name == LAST_LOOK).with_for_update()
        pause = until.where(leases.c.name == PAUSE)
        # As ``WorkerRecord.is_missing``.
        missing = select(
            exists().where(
                workers.c.stopped_at.is_(None),
                workers.c.lease_until >= bindparam("last_look", type_=workers.c.lease_until.type),
                workers.c.heartbeat_at < bindparam("heard_since", type_=workers.c.heartbeat_at.type),
            )
        )

        def look(rows: Rows) -> bool:
            connection, now = cast("SqlRows", rows).connection, rows.now()
            last = connection.scalar(last_look)
            self._note(connection, LAST_LOOK, now)
            heard_since = now - timedelta(seconds=silence)
            if last is not None and last < heard_since:
                about = {"last_look": last, "heard_since": heard_since}
                if connection.scalar(missing, about):
                    self._note(connection, PAUSE, now + timedelta(seconds=lease))
                    return False
            paused = connection.scalar(pause)
            return paused is None or paused <= now

        return self._run(look)

    def _note(self, connection: Connection, name: str, until: datetime) -> None:
        leases = self._schema.leases
        renew = update(leases).where(leases.c.name == name).values(until=until)
        if not connection.execute(renew).rowcount:
            connection.execute(
                insert_if_absent(leases, self._dialect).values(name=name, holder="", until=until)
            )

    def _is_alive(self) -> ColumnElement[bool]:
        workers = self._schema.workers
        return workers.c.stopped_at.is_(None) & (workers.c.lease_until >= self._clock.expression)
