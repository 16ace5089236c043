"""Deletes what is old, in chunks that hold their locks for a short time only."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import and_, bindparam, case, delete, exists, or_, select
from sqlalchemy import true as sql_true

from celery_jobtrack.strategies.sql.statements import in_states
from celery_jobtrack.strategies.sql.workers import WorkerOperations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from celery_jobtrack.model.state import JobState
    from celery_jobtrack.strategies.row.rows import Rows
    from celery_jobtrack.strategies.sql.rows import SqlRows


class Pruning(WorkerOperations):
    """Finds by index what may go, and deletes it with all that hangs on it."""

    def prune_jobs(
        self,
        state: JobState,
        finished_before: datetime,
        limit: int,
        *,
        tasks: Sequence[str] | None = None,
        without_tasks: Sequence[str] = (),
    ) -> int:
        """Guarded by the group: members of a generation that is not over, or is not announced, stay.

        And by the message: the one of a job that ended before its eta is still to come.

        Nothing brings a final job back but a redrive, which locks its row: one that is being redriven
        is waited for, and its state read again.
        """
        jobs, groups, events = self._schema.jobs, self._schema.groups, self._schema.events
        awaited = exists().where(
            groups.c.id == jobs.c.group_id,
            groups.c.base_generation <= jobs.c.generation,
            groups.c.completed_at.is_(None),
        )
        unannounced = exists().where(events.c.group_id == jobs.c.group_id, events.c.pending == sql_true())
        old = [
            in_states(jobs.c.state, [state]),
            jobs.c.finished_at < finished_before,
            # Said once more for SQLite, or it does not see that the partial index serves.
            jobs.c.finished_at.is_not(None),
            or_(jobs.c.eta.is_(None), jobs.c.eta < finished_before),
        ]
        if tasks is not None:
            old.append(jobs.c.task.in_(list(tasks)))
        if without_tasks:
            old.append(jobs.c.task.not_in(list(without_tasks)))
        statement = (
            select(jobs.c.seq, jobs.c.id)
            .where(*old, ~awaited, ~unannounced)
            .order_by(jobs.c.finished_at)
            .limit(limit)
            .with_for_update(of=jobs)
        )

        def prune(connection: Connection) -> int:
            found = connection.execute(statement).all()
            seqs, ids = [row[0] for row in found], [row[1] for row in found]
            if found:
                self._delete(connection, self._schema.attempts, self._schema.attempts.c.job_id, ids)
                self._delete(connection, self._schema.tags, self._schema.tags.c.seq, seqs)
                self._delete(connection, jobs, jobs.c.seq, seqs)
            return len(found)

        return self._write(prune)

    def prune_groups(self, completed_before: datetime, limit: int) -> int:
        """Each under its own lock, and looked at again: a standing group may just be used again."""
        groups = self._schema.groups
        candidates = (
            select(groups.c.id)
            .where(
                groups.c.completed_at < completed_before,
                # What follows its completion is done, if anything follows.
                or_(
                    groups.c.closed_at.is_not(None),
                    and_(groups.c.callbacks.is_(None), groups.c.parent_id.is_(None)),
                ),
                ~self._is_needed(groups.c.id),
            )
            .order_by(groups.c.completed_at)
            .limit(limit)
        )
        needed = select(self._is_needed(bindparam("of_id", type_=groups.c.id.type)))

        def prune(rows: Rows) -> int:
            connection = cast("SqlRows", rows).connection
            pruned = 0
            for group_id in connection.scalars(candidates).all():
                group = rows.group(group_id, lock=True)
                if group is None or group.completed_at is None or group.completed_at >= completed_before:
                    continue
                if group.needs_closing and group.closed_at is None:
                    continue
                if connection.scalar(needed, {"of_id": group_id}):
                    continue
                for table in (self._schema.events, self._schema.fillers, self._schema.pauses):
                    self._delete(connection, table, table.c.group_id, [group_id])
                self._delete(connection, groups, groups.c.id, [group_id])
                pruned += 1
            return pruned

        return self._run(prune)

    def prune_workers(self, gone_before: datetime, limit: int) -> int:
        workers, attempts = self._schema.workers, self._schema.attempts
        gone_at = case((workers.c.stopped_at.is_not(None), workers.c.stopped_at), else_=workers.c.lease_until)
        has_open = exists().where(attempts.c.outcome.is_(None), attempts.c.worker_id == workers.c.id)
        statement = (
            select(workers.c.id)
            .where(gone_at < bindparam("gone_before", type_=workers.c.lease_until.type), ~has_open)
            .limit(limit)
            .with_for_update(of=workers)
        )

        def prune(connection: Connection) -> int:
            found = connection.scalars(statement, {"gone_before": gone_before}).all()
            if found:
                self._delete(connection, workers, workers.c.id, found)
            return len(found)

        return self._write(prune)

    def _is_needed(self, group_id: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether a group has a member that is still recorded, or an event that is still to be told."""
        jobs, events = self._schema.jobs, self._schema.events
        member = exists().where(jobs.c.group_id == group_id)
        event = exists().where(events.c.group_id == group_id, events.c.pending == sql_true())
        return member | event

    def _delete(
        self, connection: Connection, table: Table, column: ColumnElement[object], values: Sequence[object]
    ) -> None:
        connection.execute(delete(table).where(column.in_(list(values))))
