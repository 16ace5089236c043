"""What ends with a job that does not succeed: the jobs that only its success would have published."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from celery_jobtrack.model import moves
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import QUEUED, JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.model.requests import FinishRequest
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.ports import Ports

_AT_ANY_TIME = datetime(1, 1, 1, tzinfo=timezone.utc)


class Followers:
    """Ends the followers of jobs: the last task of a chain, the body of a chord, a job that was replaced.

    Celery tells nobody when they are given up, and they are recorded and counted. They are ended
    *before* the job that gives them up: if the process dies in between, that job is still open, will be
    found, and ends them again. The other way round they would stay for ever.

    Args:
        store: Where they are recorded.
        ports: Knows what a message leads to.
        settle: Records the end of one of them; told is whether the result backend has to know.
    """

    def __init__(self, store: Store, ports: Ports, settle: Callable[[SettleRequest, bool], object]) -> None:
        self._store = store
        self._ports = ports
        self._settle = settle

    def of(self, origin: Origin) -> tuple[str, ...]:
        """The ids of a job's followers. Only the kept message has them where the job did not run."""
        if origin.part_of:
            return origin.part_of
        message = self._store.message(origin.job_id)
        return () if message is None else self._ports.followers(message)

    def ending_by(self, request: SettleRequest) -> tuple[str, ...]:
        """The followers that end if a job is settled; none if, as things are now, it would not be."""
        followers = self.of(request.origin)
        if not followers:
            return ()
        job = self._store.job(request.origin.job_id)
        attempt = None
        if job is not None and job.token is not None:
            attempt = next((a for a in self._store.attempts(job.id) if a.token == job.token), None)
        return followers if moves.settle(job, attempt, request, _AT_ANY_TIME).applied else ()

    def ending_with(self, request: FinishRequest) -> tuple[str, ...]:
        """The followers that end with a body; none if its attempt is not the open one any more."""
        followers = self.of(request.start.origin)
        if not followers:
            return ()
        job = self._store.job(request.start.origin.job_id)
        # Of a start that could not be told, the end tells.
        is_open = job is None or job.token == request.start.token or not job.attempts
        return followers if is_open else ()

    def reason_to_refuse(self, origin: Origin) -> Reason | None:
        """Why a start would end the job of a message for good, as things are now; None if it would not.

        A group's flag is not looked at: what it counts ends with it, whoever dies.
        """
        if not origin.retries and origin.expires_at is None:
            return None  # it has not run, so that nobody could flag it, and it does not expire
        job = self._store.job(origin.job_id)
        if job is None or job.state not in QUEUED:
            return None
        if job.cancel_requested:
            return Reason.CANCELLED
        expired = job.expires_at is not None and self._store.now() > job.expires_at
        return Reason.EXPIRED if expired else None

    def end(
        self,
        followers: tuple[str, ...],
        origin: Origin,
        state: JobState,
        reason: Reason | None,
        *,
        tell: bool,
    ) -> None:
        """End them as their job ends.

        Args:
            followers: Their ids; those that are not recorded, or have started, are left alone.
            origin: Of the job.
            state: In which it ends.
            reason: Why it does. Followers of a job that failed have no better reason than that.
            tell: Whether Celery knows nothing of the end.
        """
        failed = state is JobState.FAILURE
        error = ErrorInfo(
            type="UpstreamFailed", message=f"job {origin.job_id} ({origin.task}) ended as {state}"
        )
        for job_id in followers:
            request = SettleRequest(
                origin=Origin(job_id=job_id, task=origin.task),
                state=state,
                reason=Reason.ERROR if failed else reason,
                error=error,
                record_unknown=False,
            )
            # Celery itself fails the rest of a chain, and a chord's body.
            self._settle(request, tell and state is JobState.REVOKED)
