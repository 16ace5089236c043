"""The result of a tracked job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, EagerResult

from celery_jobtrack.errors import Disabled
from celery_jobtrack.integration.blocking import check_may_wait
from celery_jobtrack.integration.cancelling import cancel
from celery_jobtrack.integration.redriving import retry_job
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.strategies.unknown import unknown_job

if TYPE_CHECKING:
    from celery_jobtrack.model.job import JobRecord


class _AsksTheStore:
    """What every result of a tracked job can be asked; none of it needs a result backend."""

    id: str
    app: Any

    def job(self) -> JobRecord:
        """The job as it is recorded.

        Raises:
            UnknownJob: It was never recorded.
        """
        runtime = self._runtime()
        found = runtime.store.job(self.id)
        if found is None:
            raise unknown_job(self.id, runtime.settings.namespace)
        return found

    def cancel(self, *, terminate: bool = False, signal: str = "SIGTERM") -> bool:
        """See that the job does not run: a queued one never starts, a running one is told.

        Args:
            terminate: Whether its worker is asked to end a running body by force, too. Pools of
                processes, gevent and eventlet can; threads and solo cannot, and go on.
            signal: What a process is sent: ``"SIGTERM"``, ``"SIGKILL"``, …

        Returns:
            Whether the job ended by this call; False when it is running or had ended.

        Raises:
            UnknownJob: It was never recorded.
            InvalidPayload: There is no such signal.
            kombu.exceptions.OperationalError: The broker takes no message to the worker; the job is
                told all the same.
        """
        return cancel(self._runtime(), self.id, terminate=terminate, signal=signal)

    def retry(self) -> bool:
        """Run the job again if it did not succeed: the same id, a new run, the arguments that it had.

        Returns:
            Whether it is queued again by this call; False if it moved on meanwhile.

        Raises:
            UnknownJob: It was never recorded.
            InvalidPayload: It has not failed, its message was not kept, or it stands for a group.
            GroupCancelled: A group of it is being cancelled, and has members that have not ended.
            kombu.exceptions.OperationalError: The broker takes no message; the job has failed again.
        """
        return retry_job(self._runtime(), self.id)

    def wait_settled(self, timeout: float | None = None) -> JobRecord:
        """Wait until the job has ended.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            UnknownJob: It was never recorded.
            celery.exceptions.TimeoutError: It has not ended in time.
            WouldBlock: Called inside of a task, where waiting can block every worker.
        """
        check_may_wait(f"job {self.id}", "let what follows be a link or a chain, or look at result.job()")
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.02
        while not (job := self.job()).is_final:
            if deadline is not None and time.monotonic() + pause > deadline:
                raise CeleryTimeoutError(f"job {self.id} is {job.state} after {timeout:g} s")
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)
        return job

    def _runtime(self) -> Runtime:
        runtime = Runtime.of(self.app)
        if runtime is None or not runtime.enabled:
            raise Disabled("tracking is off for this app, so there is no store to ask")
        return runtime


class TrackedResult(_AsksTheStore, AsyncResult):  # type: ignore[type-arg]
    """An ``AsyncResult`` that also asks the store.

    ``forget()`` is Celery's: it deletes the result in the backend, and the job stays in the store. To delete
    both there is ``JobTrack.forget``.
    """


class TrackedEagerResult(_AsksTheStore, EagerResult):  # type: ignore[type-arg]
    """An ``EagerResult`` that also asks the store."""

    @classmethod
    def of(cls, result: Any, app: Any) -> Any:
        """The same result with these abilities; what is no plain ``EagerResult`` stays as it is."""
        if type(result) is EagerResult:
            result.__class__ = cls
            result.app = app
        return result
