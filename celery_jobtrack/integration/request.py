"""The worker's view of one message, where it does something that no signal tells."""

from __future__ import annotations

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined] # not in the stubs
from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.integration.signals import settle_from_main
from celery_jobtrack.model.requests import FinishRequest, Origin, StartRequest
from celery_jobtrack.model.state import JobState, Outcome, Reason

logger = logging.getLogger(__name__)


class TrackedRequest(Request):
    """Settles jobs whose pool child was lost in a way that Celery tells nobody of.

    With ``acks_late`` and ``reject_on_worker_lost`` Celery requeues the message and sends no signal
    for the lost attempt. It has to be closed before the message can be delivered again, or the next
    start would be refused.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Celery's handler; called in the worker's main process."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        lost = isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt))
        if lost and self.task.acks_late and self.task.reject_on_worker_lost:
            self._give_back(error)
        try:
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        finally:
            if isinstance(error, (SystemExit, KeyboardInterrupt)) and not self._already_revoked:  # type: ignore[attr-defined]
                # Celery before 5.7 fails to write this down, and sends no signal.
                self._end(error)

    def _end(self, error: BaseException) -> None:
        runtime = Runtime.of(self.app)
        header = Header.load(self.request_dict)
        if runtime is None or header is None or not runtime.enabled:
            return
        origin = Origin(
            job_id=self.id,
            task=self.task.name,
            group_id=header.group_id,
            retries=self.request_dict.get("retries") or 0,
        )
        try:
            settle_from_main(runtime, origin, JobState.FAILURE, Reason.WORKER_LOST, describe(error))
        except StoreUnavailable:
            logger.exception("the lost attempt of job %s stays open until its lease ends", self.id)

    def _give_back(self, error: BaseException) -> None:
        runtime = Runtime.of(self.app)
        if runtime is None or not runtime.enabled or not runtime.identity.is_set:
            return
        worker = runtime.identity.worker()
        try:
            for attempt in runtime.store.attempts(self.id):
                if attempt.is_open and attempt.worker_id == worker.id:
                    origin = Origin(job_id=self.id, task=self.task.name, retries=attempt.retries)
                    start = StartRequest(origin=origin, token=attempt.token, worker=worker)
                    runtime.tracker.finish(
                        FinishRequest(
                            start=start,
                            outcome=Outcome.REQUEUED,
                            reason=Reason.WORKER_LOST,
                            error=describe(error),
                        )
                    )
        except StoreUnavailable:
            logger.exception("the lost attempt of job %s stays open until its lease ends", self.id)
