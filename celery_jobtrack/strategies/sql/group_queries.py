"""What a store answers about groups and their events."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy import true as sql_true

from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.group import describe_status
from celery_jobtrack.model.state import GroupState, JobState
from celery_jobtrack.strategies.sql.job_queries import JobQueries
from celery_jobtrack.strategies.sql.pauses import COUNTED_AS, kept_pauses
from celery_jobtrack.strategies.sql.records import QUEUED_OR_PARKED
from celery_jobtrack.strategies.sql.statements import in_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Select

    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.requests import GroupQuery, Page

_LIVE = (JobState.STARTED, *COUNTED_AS)
"""The states of members that the counters in a group's row do not tell apart."""


class GroupQueries(JobQueries):
    """Reads groups one by one, in pages, and by what is due."""

    def group(self, group_id: str) -> GroupRecord | None:
        found: GroupRecord | None = self._record(self._sql.maps.group, self._sql.group, of_id=group_id)
        return found

    def group_by_key(self, key: str) -> GroupRecord | None:
        statement = self._read_groups().where(self._schema.groups.c.key == bindparam("of_key"))
        found: GroupRecord | None = self._record(self._sql.maps.group, statement, of_key=key)
        return found

    def groups(self, query: GroupQuery) -> Page:
        groups = self._schema.groups
        statement = self._read_groups()
        if query.state is not None:
            statement = statement.where(groups.c.state == query.state)
        if query.due_before is not None:
            statement = statement.where(groups.c.next_check_at < query.due_before)
        return self._page(self._sql.maps.group, statement, groups.c.seq, query.cursor, query.limit)

    def group_status(self, group_id: str) -> GroupStatus | None:
        parameters = {"of_id": group_id, **self._clock.parameters()}
        statement = self._status_statement
        row = self._answer(lambda connection: connection.execute(statement, parameters).first())
        if row is None:
            return None
        counted = len(self._sql.maps.group.columns) + 1
        return describe_status(
            self._sql.maps.group.load(row),
            dict(zip(_LIVE, row[counted:], strict=False)),
            filling=bool(row[counted - 1]),
            now=self._clock.moment(None if self._clock.column is None else row[-1]),
        )

    @cached_property
    def _status_statement(self) -> Select[Any]:
        """Reads a group, whether it is being filled, its members in three states, and the clock.

        One statement, so that the numbers belong together. Members that run are a range of the index by
        group, state and generation, as many as there are processes; the others are counters.
        """
        groups, jobs, fillers = self._schema.groups, self._schema.jobs, self._schema.fillers
        filling = exists().where(fillers.c.group_id == groups.c.id, fillers.c.until > self._clock.expression)
        started = (
            select(func.count())
            .where(
                jobs.c.group_id == groups.c.id,
                in_states(jobs.c.state, [JobState.STARTED]),
                jobs.c.generation >= groups.c.base_generation,
                jobs.c.generation <= groups.c.generation,
            )
            .scalar_subquery()
        )
        paused = kept_pauses(self._schema, groups.c.id, groups.c.base_generation, groups.c.generation)
        clock = [] if self._clock.column is None else [self._clock.column]
        return (
            self._read_groups()
            .add_columns(filling, started, *paused, *clock)
            .where(groups.c.id == bindparam("of_id"))
        )

    def _read_groups(self) -> Select[Any]:
        return select(*self._sql.group_columns).select_from(self._sql.groups_from)

    def members(self, group_id: str, limit: int, cursor: str | None = None) -> Page:
        jobs = self._schema.jobs
        statement = select(*self._sql.maps.job.columns).where(jobs.c.group_id == group_id)
        return self._page(self._sql.maps.job, statement, jobs.c.seq, cursor, limit, oldest_first=True)

    def due_groups(self, limit: int) -> Sequence[str]:
        groups = self._schema.groups
        statement = (
            select(groups.c.id)
            .where(groups.c.next_check_at <= self._clock.expression)
            .order_by(groups.c.next_check_at, groups.c.seq)
            .limit(limit)
        )
        return self._ids(statement)

    def queued_members(self, group_id: str, limit: int) -> Sequence[JobRecord]:
        jobs = self._schema.jobs
        statement = (
            select(*self._sql.maps.job.columns)
            .where(jobs.c.group_id == group_id, in_states(jobs.c.state, QUEUED_OR_PARKED))
            .limit(limit)
        )
        return self._records(self._sql.maps.job, statement)

    def cancelled_groups(self, limit: int) -> Sequence[str]:
        groups = self._schema.groups
        statement = (
            select(groups.c.id)
            .where(
                # Written out, as the condition of the partial index is.
                in_states(groups.c.state, [GroupState.CANCELLED]),
                groups.c.completed_at.is_(None),
            )
            # The first is the same for all: it leads SQLite to that index.
            .order_by(groups.c.completed_at, groups.c.seq)
            .limit(limit)
        )
        return self._ids(statement)

    def has_due_events(self) -> bool:
        parameters = {"limit": 1, **self._clock.parameters()}
        statement = self._sql.groups_with_pending_events
        return self._answer(lambda connection: connection.scalar(statement, parameters)) is not None

    def group_counts(self) -> Mapping[GroupState, int]:
        state = self._schema.groups.c.state
        statement = select(state, func.count()).group_by(state)
        rows = self._answer(lambda connection: connection.execute(statement).all())
        return {state: count for state, count in rows}  # noqa: C416 - rows are no tuples to mypy

    def event_counts(self) -> EventCounts:
        events = self._schema.events
        pending = select(func.count()).where(events.c.pending.is_not(None))
        given_up = select(func.count()).where(events.c.undeliverable == sql_true())
        statement = select(pending.scalar_subquery(), given_up.scalar_subquery())
        row = self._answer(lambda connection: connection.execute(statement).one())
        return EventCounts(pending=row[0], undeliverable=row[1])

    def _ids(self, statement: Select[Any]) -> list[str]:
        parameters = self._clock.parameters()
        return list(self._answer(lambda connection: connection.scalars(statement, parameters).all()))
