"""What the checker asks: overdue and expired jobs, and the leases under which it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, bindparam, delete, exists, select, update

from celery_jobtrack.model.state import QUEUED
from celery_jobtrack.strategies.sql.job_queries import JobQueries
from celery_jobtrack.strategies.sql.statements import insert_if_absent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.row.rows import Rows


class Upkeep(JobQueries):
    """Finds what is late by index, and grants leases to one holder at a time."""

    def overdue_queues(self, published_before: datetime) -> Sequence[str]:
        """One jump in the index by queue and due time for each queue, whatever the backlog."""
        jobs = self._schema.jobs
        following = (
            select(jobs.c.queue, jobs.c.due_at)
            .where(jobs.c.due_at.is_not(None), jobs.c.queue > bindparam("last", type_=jobs.c.queue.type))
            .order_by(jobs.c.queue, jobs.c.due_at)
            .limit(1)
        )

        def read(connection: Connection) -> list[str]:
            found: list[str] = []
            last = ""
            while (row := connection.execute(following, {"last": last}).first()) is not None:
                last = row[0]
                if row[1] < published_before:
                    found.append(last)
            return found

        return self._answer(read)

    def overdue_jobs(self, queue: str, published_before: datetime, limit: int) -> Sequence[JobRecord]:
        jobs = self._schema.jobs
        statement = (
            select(*self._sql.maps.job.columns)
            .where(jobs.c.queue == queue, jobs.c.due_at < published_before)
            .order_by(jobs.c.due_at, jobs.c.seq)
            .limit(limit)
        )
        return self._records(self._sql.maps.job, statement)

    def started_after(self, queue: str, published_at: datetime) -> bool:
        jobs = self._schema.jobs
        statement = select(
            exists().where(
                jobs.c.queue == queue,
                jobs.c.published_at > published_at,
                # A retry that waits was started before it was published.
                jobs.c.started_at >= jobs.c.published_at,
                # Said once more for SQLite, or it does not see that the partial index serves.
                jobs.c.started_at.is_not(None),
            )
        )
        return bool(self._answer(lambda connection: connection.scalar(statement)))

    def claim_copy(self, job: JobRecord) -> bool:
        def claim(rows: Rows) -> bool:
            current = rows.job(job.id, lock=True)
            if current is None or current.state not in QUEUED:
                return False
            if (current.published_at, current.copies) != (job.published_at, job.copies):
                return False
            rows.update_job(current, current.evolve(published_at=rows.now(), copies=current.copies + 1))
            return True

        return self._run(claim)

    def expired_jobs(self, limit: int) -> Sequence[JobRecord]:
        jobs = self._schema.jobs
        statement = (
            select(*self._sql.maps.job.columns)
            .where(jobs.c.expiring_at < self._clock.expression)
            .order_by(jobs.c.expiring_at, jobs.c.seq)
            .limit(limit)
        )
        return self._records(self._sql.maps.job, statement, **self._clock.parameters())

    def acquire_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Two guarded statements: renew what is ours or has run out; else insert what is not there.

        Of two who want a lease that has run out, one updates the row and the other, after waiting for
        it, finds a guard that no longer holds; of two who want a new one, one inserts the row.
        """
        leases, now = self._schema.leases, self._clock.expression
        until = now + bindparam("lease", type_=BigInteger)
        renew = (
            update(leases)
            .where(leases.c.name == name, (leases.c.holder == holder) | (leases.c.until <= now))
            .values(holder=holder, until=until)
        )
        insert = insert_if_absent(leases, self._dialect).values(name=name, holder=holder, until=until)
        parameters = {**self._clock.parameters(), "lease": round(seconds * 1_000_000)}

        def acquire(connection: Connection) -> bool:
            return any(connection.execute(statement, parameters).rowcount for statement in (renew, insert))

        return self._write(acquire)

    def release_lease(self, name: str, holder: str) -> None:
        leases = self._schema.leases
        statement = delete(leases).where(leases.c.name == name, leases.c.holder == holder)
        self._write(lambda connection: connection.execute(statement))
