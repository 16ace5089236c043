"""The plain case of a transition as one statement, where the database can do that.

Nearly every job starts and ends as it should: nobody cancels it, no other attempt is in its way, its group
is running and has others outstanding, it claims no key, or one at which nobody waits. PostgreSQL looks at
all that and writes it in one statement.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model import moves
from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
from celery_jobtrack.model.job import Attempt
from celery_jobtrack.model.state import STATE_AFTER
from celery_jobtrack.strategies.row.rows import Conflict
from celery_jobtrack.strategies.sql.autocommit import Autocommit
from celery_jobtrack.strategies.sql.base import SqlBase
from celery_jobtrack.strategies.sql.plain_claims import end_may_be_plain, start_may_be_plain
from celery_jobtrack.strategies.sql.plain_statements import PlainStatements
from celery_jobtrack.strategies.sql.plain_values import PlainValues
from celery_jobtrack.strategies.sql.types import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, StartRequest
    from celery_jobtrack.model.state import JobState


GROUPS_REMEMBERED = 1000
"""Of how many groups a process remembers that they have tallies."""


class PlainCases(SqlBase):
    """Tries the one statement first, and falls back on the general algorithm over locked rows.

    Whatever the statement does not write, for whichever reason, is decided by the general algorithm
    alone, from the beginning: only there is it known why a start is refused.
    """

    def __init__(
        self, url: str, *, namespace: str = "default", clock_offset: Callable[[], float] | None = None
    ) -> None:
        super().__init__(url, namespace=namespace, clock_offset=clock_offset)
        self._autocommit = Autocommit(self._engine, self._gate)
        self._plain: _Plain | None = None
        self._tallied: set[str] = set()
        if self._dialect == "postgresql":
            maps = self._sql.maps
            statements = PlainStatements(self._schema, maps)
            self._plain = statements, PlainValues(self._schema, maps, self._engine.dialect)

    def enqueue(self, request: EnqueueRequest) -> EnqueueResult:
        return self._enqueue_plainly(request) or super().enqueue(request)

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        return self._enqueue_many_plainly(requests) or super().enqueue_many(requests)

    def start(self, request: StartRequest) -> StartResult:
        return self._start_plainly(request) or super().start(request)

    def finish(self, request: FinishRequest) -> Settled:
        return self._finish_plainly(request) or super().finish(request)

    def record_progress(self, job_id: str, token: str, progress: Progress) -> bool:
        if self._plain is not None:
            statements, values = self._plain
            if self._written(statements.progress, values.progress(job_id, token, progress)) is not None:
                return True
        return super().record_progress(job_id, token, progress)

    def _enqueue_plainly(self, request: EnqueueRequest) -> EnqueueResult | None:
        origin = request.origin
        if self._plain is None or not request.published or not start_may_be_plain(origin.claims):
            return None
        statements, values = self._plain
        statement = statements.enqueue[origin.group_id is not None, bool(origin.claims), bool(origin.tags)]
        row = self._written(statement, values.enqueue(request))
        if row is None:
            return None
        return EnqueueResult(job=_enqueued(request, from_microseconds(row[0]), row[1]), created=True)

    def _enqueue_many_plainly(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        """The results if all of the jobs are new and their group takes them; nothing otherwise."""
        if self._plain is None or not requests:
            return ()
        statements, values = self._plain
        is_keyed = any(request.origin.claims for request in requests)
        statement = statements.enqueue_many[requests[0].origin.group_id is not None, is_keyed]
        given = {**values.enqueue_many(requests), **self._clock.parameters()}
        try:
            with self.transaction() as rows:
                row = _all_recorded(rows.execute(statement, given), len(requests))
        except (Conflict, _NotPlainError):
            return ()
        now, generation = from_microseconds(row[0]), row[1]
        return [
            EnqueueResult(job=partial(_enqueued, request, now, generation), created=True)
            for request in requests
        ]

    def _start_plainly(self, request: StartRequest) -> StartResult | None:
        claims = request.origin.claims
        if self._plain is None or request.origin.within or not start_may_be_plain(claims):
            return None
        statements, values = self._plain
        row = self._started_row(statements, request, values.start(request))
        if row is None:
            return None
        result = StartResult(
            job=lambda: values.job(row),
            attempt=lambda: _opened(result.job, request),
            fences=((claims[0].key, row[-1]),) if claims else (),
        )
        return result

    def _started_row(
        self, statements: PlainStatements, request: StartRequest, given: dict[str, Any]
    ) -> Sequence[Any] | None:
        """A member that was retried probably waits for that, but it may have been queued again since."""
        if request.origin.claims:
            return self._written(statements.start_keyed, given)
        row = None
        if request.origin.retries > 0 and request.origin.group_id is not None:
            row = self._written(statements.start_again, given)
        return row or self._written(statements.start, given)

    def _finish_plainly(self, request: FinishRequest) -> Settled | None:
        state, origin = STATE_AFTER[request.outcome], request.start.origin
        if self._plain is None or not state.is_final or request.result is not None:
            return None
        if not end_may_be_plain(origin.claims):
            return None
        statements, values = self._plain
        endings = statements.finish_keyed if origin.claims else statements.finish
        given = values.finish(request)
        if origin.group_id is None:
            row = self._written(endings.alone[state], given)
        else:
            row = self._finish_member_plainly(endings, state, origin.group_id, given)
        if row is None:
            return None
        # The error as it was given: the row's has its unprintable parts written out.
        return Settled(job=lambda: values.job(row).evolve(error=request.error), applied=True)

    def _finish_member_plainly(
        self, endings: Endings, state: JobState, group_id: str, given: dict[str, Any]
    ) -> Sequence[Any] | None:
        """In a tally where the group was last seen to have some; otherwise in its row, which tells that."""
        if group_id in self._tallied:
            row = self._written(endings.tallied[state], given)
            if row is not None:
                return row
            self._tallied.discard(group_id)
        row = self._written(endings.member[state], given)
        if row is not None:
            is_tallied, is_crowded = row[-2:]
            if is_crowded and not is_tallied:
                self._open_tallies(group_id)
            if is_crowded or is_tallied:
                if len(self._tallied) >= GROUPS_REMEMBERED:
                    self._tallied.clear()
                self._tallied.add(group_id)
        return row

    def _open_tallies(self, group_id: str) -> None:
        """Let the next members of a large group end beside each other; without it they wait a little."""
        assert self._plain is not None
        statements, values = self._plain
        with suppress(StoreUnavailable):
            self._written(statements.open_tallies, values.group(group_id))

    def _written(self, statement: PlainStatement, values: dict[str, Any]) -> Sequence[Any] | None:
        """The row that a statement returned once all was written; None if it wrote nothing.

        What is a conflict to others, a broken connection among them, is one more reason to go the
        general way, which may be gone again after a write whose answer was lost.
        """
        values.update(self._clock.parameters())
        try:
            return self._autocommit.row(statement.text, [values[name] for name in statement.names])
        except Conflict:
            return None


class _NotPlainError(Exception):
    """Undoes a transaction that the general algorithm will make in its own way."""


def _all_recorded(row: Sequence[Any] | None, jobs: int) -> Sequence[Any]:
    if row is None or row[2] != jobs:
        raise _NotPlainError
    return row


def _enqueued(request: EnqueueRequest, now: datetime, generation: int | None) -> JobRecord:
    job = moves.enqueue(None, request, now).job
    assert job is not None
    return job if generation is None else job.evolve(generation=generation)


def _opened(job: JobRecord, request: StartRequest) -> Attempt:
    assert job.started_at is not None
    origin, worker = request.origin, request.worker
    return Attempt(
        token=request.token,
        job_id=job.id,
        number=job.attempts,
        worker_id=worker.id,
        worker=worker.name,
        pid=worker.pid,
        retries=origin.retries,
        run=job.run,
        reruns=request.reruns,
        started_at=job.started_at,
    )


if TYPE_CHECKING:
    from celery_jobtrack.strategies.sql.plain_statements import Endings, PlainStatement

    _Plain = tuple[PlainStatements, PlainValues]
