"""The two files, and what goes into which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import JobState
from celery_jobtrack.tracking.logs import line as lines
from celery_jobtrack.tracking.logs.hiding import Hiding
from celery_jobtrack.tracking.logs.log_file import LogFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.job import JobRecord


class JobLogs:
    """The job log has every event of jobs; the error log has failures and lost workers, with tracebacks.

    Args:
        job_log: Path of the job log; None for none.
        error_log: Path of the error log; None for none.
        redact: Parts of names whose values are hidden in the texts of errors.
    """

    def __init__(self, *, job_log: str | None, error_log: str | None, redact: Sequence[str]) -> None:
        self._jobs = None if job_log is None else LogFile(job_log)
        self._errors = None if error_log is None else LogFile(error_log)
        self._hide = Hiding(redact)

    def wants(self, state: JobState) -> bool:
        """Whether a job that comes into a state gets a line."""
        return self._jobs is not None or (self._errors is not None and state is JobState.FAILURE)

    def write(self, state: JobState, job: JobRecord, worker: str | None) -> None:
        """A job has come into a state.

        Args:
            state: Into which it came.
            job: As it is recorded.
            worker: Whose attempt began or ended with that; None if none did.
        """
        line = lines.of_job(state, job, worker, self._hide)
        if self._jobs is not None:
            self._jobs.append(lines.as_text(line))
        if self._errors is not None and state is JobState.FAILURE:
            self._errors.append(lines.as_text(lines.with_traceback(line, job, self._hide)))

    def write_lost(self, worker_id: str, worker: str, jobs: Sequence[str]) -> None:
        """A worker was given up while it ran these jobs."""
        text = lines.as_text(lines.of_lost_worker(worker_id, worker, jobs))
        for log in (self._jobs, self._errors):
            if log is not None:
                log.append(text)

    def after_fork(self) -> None:
        """A child opens the files for itself."""
        for log in (self._jobs, self._errors):
            if log is not None:
                log.let_go()

    def close(self) -> None:
        """Close the files."""
        for log in (self._jobs, self._errors):
            if log is not None:
                log.close()
