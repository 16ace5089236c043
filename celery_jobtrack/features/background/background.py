"""Dispatches of approved functions, and the task that runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery.utils import gen_unique_id

from celery_jobtrack.errors import InvalidPayload, JobTrackError, NotApproved
from celery_jobtrack.features.background.approval import Approval
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.integration.shown import show
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from celery_jobtrack.integration.result import TrackedResult

RUN = "jobtrack.run_background"
"""The task that runs them. Its jobs are tracked, and tagged with the path of their function."""


class Background:
    """Sends approved functions as jobs.

    Args:
        runtime: The app's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def pending(self, path: str, arguments: Any = ()) -> Any:
        """Begin a dispatch of a function; see ``PendingDispatch``.

        Args:
            path: ``"module:function"`` or ``"module:Class.method"``.
            arguments: A list of positional arguments, or a mapping of named ones.

        Raises:
            NotApproved: ``jobtrack_approved_callables`` does not allow it. That is recorded, too.
            InvalidPayload: It is no path, leads nowhere, or the arguments are neither.
        """
        args, kwargs = _parted(arguments)
        try:
            Approval(self._runtime.settings.approved_callables).resolve(path)
        except NotApproved as error:
            self._record_refusal(path, args, kwargs, error)
            raise
        task: Any = self._runtime.app.tasks[RUN]
        return task.job(path, args, kwargs).tagged(path)

    def dispatch(
        self,
        path: str,
        arguments: Any = (),
        *,
        priority: int | None = None,
        delay: float | None = None,
        retries: int = 0,
        queue: str | None = None,
        group: Any = None,
    ) -> TrackedResult:
        """Record a job that runs a function, and send it; see ``JobTrack.run_background``."""
        pending = self.pending(path, arguments).max_retries(retries)
        if priority is not None:
            pending = pending.with_priority(priority)
        if delay:
            pending = pending.delay_for(delay)
        if queue is not None:
            pending = pending.on_queue(queue)
        if group is not None:
            pending = pending.in_group(group)
        result: TrackedResult = pending.dispatch()
        return result

    def _record_refusal(
        self, path: str, args: Sequence[Any], kwargs: Mapping[str, Any], error: JobTrackError
    ) -> None:
        if not self._runtime.enabled:
            return
        shown, _ = show(self._runtime.settings, (path, [*args], {**kwargs}), {})
        origin = Origin(job_id=gen_unique_id(), task=RUN, args=shown, kwargs="{}", tags=(path,))
        request = SettleRequest(
            origin=origin, state=JobState.FAILURE, reason=Reason.REJECTED, error=describe(error)
        )
        self._runtime.recorder.settle(request, tell=False)


def register(app: Celery, task_base: type) -> None:
    """Register the task that runs approved functions on an app, once."""

    @app.task(
        name=RUN,
        base=task_base,
        bind=True,
        shared=False,
        lazy=False,
        max_retries=0,
        autoretry_for=(Exception,),
        dont_autoretry_for=(NotApproved,),
        retry_backoff=True,
    )
    def run_background(task: Any, path: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run an approved function, which is looked up anew: what the sender may run says nothing here."""
        runtime = Runtime.of(task.app)
        assert runtime is not None
        return Approval(runtime.settings.approved_callables).resolve(path)(*args, **kwargs)


def _parted(arguments: Any) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(arguments, Mapping):
        if not all(isinstance(name, str) for name in arguments):
            raise InvalidPayload(f"the names of arguments are strings; there are {list(arguments)!r}")
        return [], dict(arguments)
    if isinstance(arguments, (list, tuple)):
        return list(arguments), {}
    raise InvalidPayload(
        f"arguments are a list, or a mapping of named ones, not {type(arguments).__name__}: {arguments!r}"
    )
