"""Tasks that begin dispatches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.features.dispatch.builder import PendingDispatch
from celery_jobtrack.integration.task import TrackedTask

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.integration.result import TrackedResult


class DispatchingTask(TrackedTask):
    """A tracked task with the dispatch builder."""

    abstract = True

    def job(self, /, *args: Any, **kwargs: Any) -> PendingDispatch:
        """Begin a dispatch with these arguments; see ``PendingDispatch``."""
        return PendingDispatch(self, args, kwargs)

    def dispatch(self, /, *args: Any, **kwargs: Any) -> TrackedResult:
        """Record a job with these arguments and send it."""
        return self.job(*args, **kwargs).dispatch()

    def dispatch_at(self, when: datetime | float | str, *args: Any, **kwargs: Any) -> TrackedResult:
        """Record a job with these arguments, to run at a time; see ``PendingDispatch.at``."""
        return self.job(*args, **kwargs).at(when).dispatch()
