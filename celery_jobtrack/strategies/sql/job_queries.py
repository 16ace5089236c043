"""What a store answers about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, text

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.requests import Page
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.sql.base import SqlBase
from celery_jobtrack.strategies.sql.schema import NOT_SUCCEEDED
from celery_jobtrack.strategies.sql.statements import in_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import JobQuery
    from celery_jobtrack.strategies.sql.records import RecordMap

_LARGEST_SEQ = 2**63 - 1


class JobQueries(SqlBase):
    """Reads jobs and their attempts, one by one and in pages."""

    def job(self, job_id: str) -> JobRecord | None:
        found: JobRecord | None = self._record(self._sql.maps.job, self._sql.job, of_id=job_id)
        return found

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        attempts = self._schema.attempts
        statement = (
            select(*self._sql.maps.attempt.columns)
            .where(attempts.c.job_id == bindparam("of_job_id"))
            .order_by(attempts.c.number)
        )
        return self._records(self._sql.maps.attempt, statement, of_job_id=job_id)

    def message(self, job_id: str) -> bytes | None:
        jobs = self._schema.jobs
        statement = select(jobs.c.message).where(jobs.c.id == bindparam("of_id"))
        found = self._answer(lambda connection: connection.scalar(statement, {"of_id": job_id}))
        return None if found is None else bytes(found)

    def results(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        jobs = self._schema.jobs
        statement = select(jobs.c.id, jobs.c.result).where(
            jobs.c.id.in_(list(job_ids)), jobs.c.result.is_not(None)
        )
        rows = self._answer(lambda connection: connection.execute(statement).all())
        return {job_id: bytes(result) for job_id, result in rows}

    def jobs(self, query: JobQuery) -> Page:
        jobs, tags = self._schema.jobs, self._schema.tags
        order: ColumnElement[int] = jobs.c.seq
        statement = select(*self._sql.maps.job.columns)
        if query.tag is not None:
            order = tags.c.seq
            statement = statement.join(tags, tags.c.seq == jobs.c.seq).where(tags.c.tag == query.tag)
        if query.state is not None:
            statement = statement.where(in_states(jobs.c.state, [query.state]))
            if query.state is not JobState.SUCCESS:
                statement = statement.where(text(NOT_SUCCEEDED))
        for column, wanted in (
            (jobs.c.task, query.task),
            (jobs.c.queue, query.queue),
            (jobs.c.group_id, query.group_id),
        ):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if query.since is not None:
            appeared = func.coalesce(jobs.c.enqueued_at, jobs.c.started_at, jobs.c.finished_at)
            statement = statement.where(appeared >= query.since)
        return self._page(self._sql.maps.job, statement, order, query.cursor, query.limit)

    def counts(self) -> Mapping[JobState, int]:
        state = self._schema.jobs.c.state
        statement = select(state, func.count()).group_by(state)
        rows = self._answer(lambda connection: connection.execute(statement).all())
        return {state: count for state, count in rows}  # noqa: C416 - rows are no tuples to mypy

    def _record(self, records: RecordMap[Any], statement: Select[Any], **parameters: Any) -> Any:
        row = self._answer(lambda connection: connection.execute(statement, parameters).first())
        return None if row is None else records.load(row)

    def _records(self, records: RecordMap[Any], statement: Select[Any], **parameters: Any) -> list[Any]:
        rows = self._answer(lambda connection: connection.execute(statement, parameters).all())
        return [records.load(row) for row in rows]

    def _page(
        self,
        records: RecordMap[Any],
        statement: Select[Any],
        order: ColumnElement[int],
        cursor: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> Page:
        """One page behind the cursor; one row more is read to see whether there is more."""
        if cursor is not None:
            last = _seq_of(cursor)
            statement = statement.where(order > last if oldest_first else order < last)
        direction = order.asc() if oldest_first else order.desc()
        statement = statement.add_columns(order.label("page_seq")).order_by(direction).limit(limit + 1)
        rows = self._answer(lambda connection: connection.execute(statement).all())
        shown = rows[:limit]
        return Page(
            items=tuple(records.load(row) for row in shown),
            cursor=str(shown[-1][-1]) if shown and len(rows) > limit else None,
        )


def _seq_of(cursor: str) -> int:
    if cursor.isascii() and cursor.isdigit() and int(cursor[:20]) <= _LARGEST_SEQ:
        return int(cursor)
    raise InvalidPayload(f"{cursor[:40]!r} is no cursor: hand on the one that a page came with")
