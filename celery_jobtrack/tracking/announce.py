"""Tells logs, plain strategies and listeners, in this process, what a transition did to a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack import events
from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blinker import Signal

    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import Worker
    from celery_jobtrack.tracking.logs.job_logs import JobLogs
    from celery_jobtrack.tracking.ports import Ports

logger = logging.getLogger(__name__)

_TOLD: dict[JobState, tuple[Signal, str]] = {
    JobState.ENQUEUED: (events.job_enqueued, "job_enqueued"),
    JobState.STARTED: (events.job_started, "job_started"),
    JobState.RETRY: (events.job_retrying, "job_retrying"),
    JobState.SUCCESS: (events.job_succeeded, "job_finished"),
    JobState.FAILURE: (events.job_failed, "job_failed"),
    JobState.REVOKED: (events.job_revoked, "job_revoked"),
    JobState.SKIPPED: (events.job_skipped, "job_skipped"),
}


class Announcer:
    """Writes the logs, calls strategies, then listeners; what they raise is logged and goes no further.

    Args:
        ports: Who listens.
        logs: The log files of jobs; None when there are none.
        attempts_of: Reads a job's attempts, by its id.
    """

    def __init__(
        self, ports: Ports, logs: JobLogs | None, attempts_of: Callable[[str], Sequence[Attempt]]
    ) -> None:
        self._ports = ports
        self._logs = logs
        self._attempts_of = attempts_of

    def announce(
        self,
        state: JobState,
        task: str,
        job_of: Callable[[], JobRecord | None],
        worker: Worker | None = None,
    ) -> None:
        """Tell that a job has just come into a state; it is read only if somebody listens.

        Args:
            state: Into which it came.
            task: Whose job it is.
            job_of: Gives the job.
            worker: Whose attempt began or ended with that, where the request says so.
        """
        told = _TOLD.get(state)
        if told is None or task == GROUP_TASK:  # it stands for a group, which has events of its own
            return
        signal, hook = told
        strategies = self._ports.strategies_for(task)
        logs = self._logs if self._logs is not None and self._logs.wants(state) else None
        if logs is None and not strategies and not signal.receivers:
            return
        job = job_of()
        if job is None:
            return
        if logs is not None:
            _guarded(self._log, "the log of jobs", logs, state, job, worker)
        for strategy in strategies:
            _guarded(getattr(strategy, hook), f"{type(strategy).__qualname__}.{hook}", job)
        self.send(signal, job=job)

    def announce_lost(self, worker_id: str, worker: str, jobs: list[str]) -> None:
        """Tell that a worker was given up.

        Args:
            worker_id: Its id.
            worker: Its name.
            jobs: Ids of the jobs that it was running.
        """
        if self._logs is not None:
            _guarded(self._logs.write_lost, "the log of jobs", worker_id, worker, jobs)
        self.send(events.worker_lost, worker_id=worker_id, worker=worker, jobs=jobs)

    def send(self, signal: Signal, **about: Any) -> None:
        """Call the listeners of a signal, each guarded."""
        if not signal.receivers:
            return
        for receiver in signal.receivers_for(self._ports.sender):
            name = getattr(receiver, "__qualname__", repr(receiver))
            _guarded(receiver, f"listener {name} of {signal!r}", self._ports.sender, **about)

    def _log(self, logs: JobLogs, state: JobState, job: JobRecord, worker: Worker | None) -> None:
        name = worker.name if worker is not None else self._worker_of_end(job)
        logs.write(state, job, name)

    def _worker_of_end(self, job: JobRecord) -> str | None:
        """Whose attempt was closed when somebody else ended its job."""
        if not job.is_final or not job.attempts:
            return None
        try:
            last = max(self._attempts_of(job.id), key=lambda attempt: attempt.number, default=None)
        except StoreUnavailable:  # the line says everything else
            return None
        return last.worker if last is not None and last.finished_at == job.finished_at else None


def _guarded(call: Callable[..., Any], name: str, *args: Any, **about: Any) -> None:
    try:
        call(*args, **about)
    except Exception:  # a listener's mistake must not disturb the job
        logger.exception("%s raised; the job goes on", name)
