"""``jobtrack.inspect``: what is recorded, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.integration.returned import result_of
from celery_jobtrack.model.requests import JobQuery, Page
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.unknown import unknown_job
from celery_jobtrack.tracking.explaining import Explainer
from celery_jobtrack.tracking.lock_lines import LockLines
from celery_jobtrack.tracking.queue_survey import QueueSurvey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.event import EventCounts
    from celery_jobtrack.model.explanation import GroupExplanation, LockExplanation
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.queue import QueueStatus
    from celery_jobtrack.model.requests import WorkerRecord
    from celery_jobtrack.model.result import JobResult
    from celery_jobtrack.model.state import GroupState


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job with all of its attempts. The job's fields are attributes here too."""

    job: JobRecord
    attempts: tuple[Attempt, ...]
    lock: LockExplanation | None = None
    """Who has the lock for which it is parked, and where it stands in the line."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.job, name)


class Inspection:
    """Asks the store; changes nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def job(self, job_id: str) -> JobDetails:
        """A job and its attempts, oldest first.

        Raises:
            UnknownJob: The id was never recorded in this namespace.
        """
        job = self._job(job_id)
        return JobDetails(job, tuple(self._runtime.store.attempts(job_id)), self._lock_of(job))

    def result(self, job_id: str) -> JobResult:
        """What became of a job: a ``Result``, a ``Failure``, a ``NotKept`` or a ``Pending``.

        Raises:
            UnknownJob: The id was never recorded in this namespace.
        """
        return result_of(self._job(job_id), self._runtime.store.results([job_id]).get(job_id))

    def jobs(
        self,
        *,
        state: JobState | str | None = None,
        task: str | None = None,
        queue: str | None = None,
        group: Any = None,
        tag: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """A page of jobs, newest first.

        Args:
            state: Only jobs in this state.
            task: Only jobs of the task with this name.
            queue: Only jobs sent to this queue.
            group: Only members of this group, given as such or by its id.
            tag: Only jobs with this tag.
            since: Only jobs recorded since then; naive means UTC.
            limit: How many at most, up to 1000.
            cursor: From the page before.

        Raises:
            InvalidPayload: An argument cannot be right.
        """
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=timezone.utc)
        query = JobQuery(
            state=check_state(JobState, state),
            task=task,
            queue=queue,
            group_id=getattr(group, "id", group),
            tag=tag,
            since=since,
            limit=check_limit(limit),
            cursor=check_cursor(cursor),
        )
        return self._runtime.store.jobs(query)

    def why(self, group: Any, *, limit: int = 20) -> GroupExplanation:
        """Why a group has not finished: each of its jobs that is outstanding, and what holds the group.

        The broker and the workers are asked about queues, which takes a second or two.

        Args:
            group: The group, given as such or by its id.
            limit: How many jobs are looked at one by one; the others are counted.

        Raises:
            UnknownGroup: There is no such group.
            InvalidPayload: The limit is not from 1 to 1000.
        """
        explainer = Explainer(self._runtime.tracker, limit=check_limit(limit))
        return explainer.explain(getattr(group, "id", group))

    def queues(self, *, window: float | timedelta = 60.0) -> Sequence[QueueStatus]:
        """Every queue that the app declares, that a worker consumes, or for which a job waits.

        The broker is asked how much it holds, and the workers which queues they consume, which takes a
        second or two; the store knows who waits.

        Args:
            window: Seconds or a ``timedelta``: of which time the rates are.

        Raises:
            InvalidPayload: The window is not more than 0 seconds.
        """
        seconds = check_seconds("window", window, InvalidPayload)
        return QueueSurvey(self._runtime.tracker, window=seconds).take()

    def verify(self, job_id: str) -> dict[str, Any]:
        """Whether a job has ended, and how: made for polling from a web page.

        Returns:
            ``job_id``, ``completed``, ``state``, ``successful`` (None until it has ended),
            ``progress`` (None, or ``current``, ``total``, ``text``, ``percent``), and what the
            strategy's ``meta`` adds.

        Raises:
            UnknownJob: The id was never recorded in this namespace.
        """
        job = self._job(job_id)
        completed, meta = job.is_final, {}
        for strategy in self._runtime.strategies_for(job.task):
            completed = bool(strategy.completed(job_id))
            meta = dict(strategy.meta(job_id) or {})
        progress = None
        if job.progress is not None:
            progress = {**asdict(job.progress), "percent": job.progress.percent}
        return {
            **meta,
            "job_id": job_id,
            "completed": completed,
            "state": str(job.state),
            "successful": job.state is JobState.SUCCESS if job.is_final else None,
            "progress": progress,
        }

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        return self._runtime.store.counts()

    def group_counts(self) -> Mapping[GroupState, int]:
        """How many groups are in each state."""
        return self._runtime.store.group_counts()

    def event_counts(self) -> EventCounts:
        """How many events of groups are not delivered yet, and how many were given up."""
        return self._runtime.store.event_counts()

    def workers(self, *, alive: bool = True) -> Sequence[WorkerRecord]:
        """The workers that hold a lease; with ``alive=False`` also those that are gone."""
        return self._runtime.store.workers(alive=alive)

    def _lock_of(self, job: JobRecord) -> LockExplanation | None:
        if job.waits_for is None:
            return None
        store = self._runtime.store
        workers = {worker.id: worker for worker in store.workers(alive=False)}
        return LockLines(store, store.now(), workers).explain(job)

    def _job(self, job_id: str) -> JobRecord:
        job = self._runtime.store.job(job_id)
        if job is None:
            raise unknown_job(job_id, self._runtime.settings.namespace)
        return job
