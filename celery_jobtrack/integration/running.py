"""The attempt that is open in this thread, kept on the task's request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery._state import get_current_task

if TYPE_CHECKING:
    from celery_jobtrack.integration.header import Header
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.requests import StartRequest

ATTRIBUTE = "_jobtrack_running"
PROGRESS_EVERY = 0.5
"""Seconds between two writes of a job's progress."""
CANCEL_CHECK_EVERY = 1.0
"""Seconds between two questions whether a job was cancelled."""


class Running:
    """What a body is run under: its start, what the store said, and what was recorded since."""

    def __init__(self, runtime: Runtime, start: StartRequest, header: Header, job: JobRecord | None) -> None:
        self.runtime = runtime
        self.start = start
        self.header = header
        self.job = job
        """As the store gave it at the start; None when the store did not answer."""
        self.number = job.attempts if job is not None else start.origin.retries + 1
        self.closed = False
        """Whether the end is recorded already: a retry or a replacement was published."""
        self.replaced = False
        self._unsaid: Progress | None = None
        self._said_at = 0.0
        self._cancelled = False
        self._asked_at = 0.0

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
        self.runtime.tracker.progress(self.start.origin.job_id, self.start.token, progress)

    def is_cancelled(self) -> bool:
        """Whether the job or its group was cancelled; asks the store at most once a second."""
        now = time.monotonic()
        if not self._cancelled and now - self._asked_at >= CANCEL_CHECK_EVERY:
            self._asked_at = now
            self._cancelled = self._ask()
        return self._cancelled

    def _ask(self) -> bool:
        store = self.runtime.store
        job = store.job(self.start.origin.job_id)
        if job is None:
            return False
        if job.cancel_requested or job.token != self.start.token:
            return True
        group = None if job.group_id is None else store.group(job.group_id)
        return group is not None and group.state == "CANCELLED"


def running_of(task: Any) -> Running | None:
    """The attempt that a task has open in this thread; None outside of a tracked body."""
    found = vars(task.request).get(ATTRIBUTE)
    return found if isinstance(found, Running) else None


def current() -> Running | None:
    """The attempt that is open in this thread, of whatever task."""
    task: Any = get_current_task()
    return None if task is None else running_of(task)
