"""The attempt that is open in this thread, kept on the task's request."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celery._state import get_current_task
from celery.exceptions import Ignore

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.integration.described import describe
from celery_jobtrack.model.requests import FinishRequest, SettleRequest
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.integration.header import Header
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.answers import StartResult
    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.requests import StartRequest

logger = logging.getLogger(__name__)

ATTRIBUTE = "_jobtrack_running"
INNER = "jobtrack_inner"
"""Header of an eager replacement, which is part of the job that it replaces."""
PROGRESS_EVERY = 0.5
"""Seconds between two writes of a job's progress."""
CANCEL_CHECK_EVERY = 1.0
"""Seconds between two questions whether a job was cancelled."""


class Running:
    """What a body is run under: its start, what the store said, and what was recorded since."""

    def __init__(
        self, runtime: Runtime, start: StartRequest, header: Header, result: StartResult | None
    ) -> None:
        self.runtime = runtime
        self.start = start
        self.header = header
        self._result = result
        self.closed = False
        """Whether the end is recorded already: a retry or a replacement was published."""
        self.replaced = False
        self.replacing = False
        """Whether what is published now are the parts of a replacement."""
        self.retried_for: BaseException | None = None
        """What the body asked to be retried for."""
        self._unsaid: Progress | None = None
        self._said_at = 0.0
        self._cancelled = False
        self._asked_at = 0.0
        self._asked_in_vain = False

    @property
    def job(self) -> JobRecord | None:
        """As the store gave it at the start; None when the store did not answer."""
        return None if self._result is None else self._result.job

    @property
    def number(self) -> int:
        """Which attempt of its job this is, from 1 on."""
        job = self.job
        return self.start.origin.retries + 1 if job is None else job.attempts

    @property
    def fences(self) -> dict[str, int]:
        """The fence of each key that the attempt holds."""
        return {} if self._result is None else dict(self._result.fences)

    def replace(self, sig: Any, replace: Callable[[Any], Any]) -> Any:
        """Replace the job's task by ``sig``, under the same id.

        A single task is recorded when it is published. Of a chain or a group the task that gets
        the id is published last, by another process, so the job is given up by this attempt before
        the first of them is sent: one of them may fail at once and then ends the job.
        """
        self.replaced = True
        if not hasattr(sig, "tasks") and not hasattr(sig, "body"):
            return replace(sig)
        recorder = self.runtime.recorder
        recorder.finish(FinishRequest(start=self.start, outcome=Outcome.REPLACED))
        self.closed = self.replacing = True
        try:
            return replace(sig)
        except Ignore:
            raise
        except Exception as error:
            request = SettleRequest(
                origin=self.start.origin, state=JobState.FAILURE, reason=Reason.ERROR, error=describe(error)
            )
            recorder.settle(request, tell=False)
            raise
        finally:
            self.replacing = False

    def progress(self, progress: Progress) -> None:
        """Record progress, at most twice a second; the last word is always recorded."""
        self._unsaid = progress
        done = progress.total is not None and progress.current >= progress.total
        if done or time.monotonic() - self._said_at >= PROGRESS_EVERY:
            self.flush_progress()

    def flush_progress(self) -> None:
        """Record what was held back."""
        if self._unsaid is None:
            return
        progress, self._unsaid = self._unsaid, None
        self._said_at = time.monotonic()
        try:
            self.runtime.tracker.progress(self.start.origin.job_id, self.start.token, progress)
        except StoreUnavailable as error:
            # Tracking must not break the job: its progress is not worth it.
            logger.warning("the progress of job %s is not recorded: %s", self.start.origin.job_id, error)

    def is_cancelled(self) -> bool:
        """Whether the job or its group was cancelled; asks the store at most once a second."""
        now = time.monotonic()
        if not self._cancelled and now - self._asked_at >= CANCEL_CHECK_EVERY:
            self._asked_at = now
            try:
                self._cancelled = self._ask()
            except StoreUnavailable as error:
                # Once: a body may ask every second for as long as the store is away.
                log = logger.debug if self._asked_in_vain else logger.warning
                self._asked_in_vain = True
                log("whether job %s was cancelled is not known: %s", self.start.origin.job_id, error)
        return self._cancelled

    def _ask(self) -> bool:
        store = self.runtime.store
        job = store.job(self.start.origin.job_id)
        if job is None:
            return False
        if job.cancel_requested or job.token != self.start.token:
            return True
        ids = (*(() if job.group_id is None else (job.group_id,)), *self.header.within)
        groups = map(store.group, ids)
        return any(group is not None and group.state is GroupState.CANCELLED for group in groups)


def running_of(task: Any) -> Running | None:
    """The attempt that a task has open in this thread; None outside of a tracked body."""
    found = vars(task.request).get(ATTRIBUTE)
    return found if isinstance(found, Running) else None


def current() -> Running | None:
    """The attempt that is open in this thread, of whatever task."""
    task: Any = get_current_task()
    return None if task is None else running_of(task)
