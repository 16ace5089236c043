"""The strategy that users subclass to keep their own table up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord


class TrackingStrategy(ABC):
    """Hooks that are told what happens to jobs, and the answer to "is it completed?".

    Every hook is optional and does nothing here. A hook runs in the process in which its fact
    happens, after the store has recorded it, at least once; what it raises is logged and does not
    disturb the job. ``completed`` must be written.

    Example::

        class Invoices(TrackingStrategy):
            def job_enqueued(self, job):
                Row.create(job_id=job.id, status="created")

            def job_finished(self, job):
                Row.update(job_id=job.id, status="finished")

            def completed(self, job_id):
                return Row.get(job_id).status == "finished"
    """

    def job_enqueued(self, job: JobRecord) -> None:
        """The job was recorded and its message is about to be published."""

    def job_started(self, job: JobRecord) -> None:
        """An attempt was opened."""

    def job_finished(self, job: JobRecord) -> None:
        """The job succeeded."""

    def job_failed(self, job: JobRecord) -> None:
        """The job failed for good; ``job.reason`` and ``job.error`` say how."""

    def job_retrying(self, job: JobRecord) -> None:
        """The job's next retry is about to be published."""

    def job_revoked(self, job: JobRecord) -> None:
        """The job was cancelled, expired or terminated."""

    def job_skipped(self, job: JobRecord) -> None:
        """The job was not run, or ended with ``Ignore``."""

    @abstractmethod
    def completed(self, job_id: str) -> bool:
        """Whether the job has ended.

        Args:
            job_id: The id of a job of a task that uses this strategy.
        """

    def meta(self, job_id: str) -> dict[str, Any]:  # noqa: ARG002 - a hook that users fill
        """What to add to the answer of ``inspect.verify``; cannot overwrite its own keys."""
        return {}
