"""The worker's view of one message, where it does something that no signal tells."""

from __future__ import annotations

import logging
from typing import Any, Literal

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined] # not in the stubs
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request
from celery.worker.state import revoked, task_ready

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.reruns import may_rerun
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.integration.signals import settle_from_main
from celery_jobtrack.model.requests import Origin
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.tracking.lost import LostAttempts

logger = logging.getLogger(__name__)


class TrackedRequest(Request):
    """Settles jobs whose pool child was lost in a way that Celery tells nobody of, and lets expired ones go.

    With ``acks_late`` and ``reject_on_worker_lost`` Celery gives the message back to the broker and
    sends no signal for the lost attempt. It has to be closed, or the next start would be refused. With
    ``lost_policy = "requeue"`` a job runs again where Celery would fail it.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Celery's handler; called in the worker's main process."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        runtime = self._runtime()
        lost = isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt))
        if (
            runtime is not None
            and lost
            and not self._was_stopped()
            and may_rerun(runtime.settings, self.task)
        ):
            if self.task.acks_late and self.task.reject_on_worker_lost:
                self._close_lost(runtime, redelivered=True)
            elif not getattr(self.task, "retry_on_worker_lost", None):
                return self._run_again(runtime)
        try:
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        finally:
            if runtime is not None and isinstance(error, (SystemExit, KeyboardInterrupt)):
                # Celery before 5.7 fails to write this down, and sends no signal.
                self._end(runtime, error)

    def maybe_expire(self) -> Literal[True] | None:
        """Celery's look at the clock. What has expired can run again under the same id.

        Celery remembers the id among those that were revoked, and this worker would discard every further
        message of it.
        """
        was_revoked = self.id in revoked
        expired = super().maybe_expire()
        if expired and not was_revoked:
            revoked.discard(self.id)
        return expired

    def _was_stopped(self) -> bool:
        """Whether the child ended because somebody revoked the job, or the connection was lost."""
        return bool(self._already_revoked or getattr(self, "_already_cancelled", False))  # type: ignore[attr-defined]

    def _runtime(self) -> Runtime | None:
        runtime = Runtime.of(self.app)
        if runtime is None or not runtime.enabled or not runtime.identity.is_set:
            return None
        is_ours = runtime.tracks(self.task.name) or Header.load(self.request_dict) is not None
        return runtime if is_ours else None

    def _run_again(self, runtime: Runtime) -> None:
        """Instead of failing the job as Celery would: acknowledge the message, and publish it anew."""
        task_ready(self)
        if self.task.acks_late:
            self.acknowledge()
        self._close_lost(runtime, redelivered=False)

    def _close_lost(self, runtime: Runtime, *, redelivered: bool) -> None:
        job_id, worker_id = self.id, runtime.identity.worker().id

        def close() -> None:
            lost = LostAttempts(runtime.tracker, runtime.settings.max_lost)
            try:
                for attempt in runtime.store.attempts(job_id):
                    if attempt.is_open and attempt.worker_id == worker_id:
                        lost.close(attempt, redelivered=redelivered)
            except StoreUnavailable as error:
                logger.warning("%s; the worker will find the lost attempt of job %s later", error, job_id)

        runtime.apart(close)

    def _end(self, runtime: Runtime, error: BaseException) -> None:
        if self._already_revoked:  # type: ignore[attr-defined]
            return
        header = Header.load(self.request_dict) or Header()
        origin = Origin(
            job_id=self.id,
            task=self.task.name,
            group_id=header.group_id,
            part_of=header.part_of,
            retries=self.request_dict.get("retries") or 0,
            callback_of=header.callback_of,
        )
        settle_from_main(runtime, origin, JobState.FAILURE, Reason.WORKER_LOST, describe(error))
