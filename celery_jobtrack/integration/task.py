"""The base class of tracked tasks, as far as running and publishing go."""

from __future__ import annotations

import functools
import logging
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task
from celery.utils import gen_unique_id

from celery_jobtrack.errors import GroupNotSet
from celery_jobtrack.integration.admission import admit
from celery_jobtrack.integration.claims import OVERLAPS, claims_of
from celery_jobtrack.integration.given_time import given_deadline
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.options import OPTIONS, checked_store_result, checked_tags, group_id_of
from celery_jobtrack.integration.result import TrackedEagerResult, TrackedResult
from celery_jobtrack.integration.running import INNER, current, running_of
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.integration.shown import show
from celery_jobtrack.model.job import JobRecord, Progress
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from celery_jobtrack.model.requests import EnqueueRequest, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

_GATE = "_jobtrack_gate"
_EXC = 2
"""Where ``exc`` stands among the arguments of ``Task.retry``."""


class TrackedTask(Task):  # type: ignore[type-arg] # Task[...] cannot be subscripted before Celery 5.6
    """A task whose jobs are recorded. Hooks may be overridden with or without ``super()``."""

    abstract = True
    is_tracked: ClassVar[bool] = True

    group_required: bool = False
    """Whether a job of this task must belong to a group."""
    tracking_strategy: Any = None
    """A plain strategy that is told about this task's jobs, instead of the app's."""
    record_args: str | None = None
    """How arguments are shown and kept, instead of ``jobtrack_record_args``."""
    keep_message: bool | None = None
    """Whether a job can be published again from the store, instead of ``jobtrack_keep_message``."""
    store_result: bool = False
    """Whether what a job of this task returns is kept, up to ``jobtrack_result_max_bytes``."""
    lost_policy: str | None = None
    """What becomes of a job whose worker was lost, instead of ``jobtrack_lost_policy``."""
    retention: Any = None
    """How long its ended jobs are kept, by state, where it is not as ``jobtrack_retention`` says."""
    without_overlapping: Any = False
    """Whether jobs with the same arguments never run at once; an ``Overlap`` says more."""
    max_concurrent: Any = None
    """How many jobs run at once across all workers; a ``Limit`` says more."""
    global_rate: Any = None
    """How many jobs start in a time across all workers, as ``"100/m"``; a ``Limit`` says more."""
    unique_for: Any = None
    """For how many seconds from its dispatch on a job keeps others like it from being dispatched, at most."""
    unique_until: Any = None
    """``"end"``, or ``"start"``: until when it does."""
    unique_key: Any = None
    """What makes jobs alike, as ``Overlap.key``; None for the same arguments."""
    run_late: bool = False
    """Whether jobs run also when their ``deadline`` has passed."""
    writes_started: bool = False
    """Celery's ``track_started``, taken over (see ``bind``)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        gate(cls)

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Bind to an app, and take ``track_started`` over.

        Celery writes STARTED before ``before_start``, so a refused copy of a job would overwrite
        its result with it. It is written after admission instead.
        """
        bound = super().bind(app)
        if cls.track_started:
            cls.writes_started, cls.track_started = True, False
        return bound

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Ask whether the job may run."""
        admit(self)

    # -- inside of a running job -------------------------------------------------------------------

    @property
    def current_job(self) -> JobRecord | None:
        """The running job as it was recorded at its start; None when it is not tracked."""
        running = running_of(self)
        return None if running is None else running.job

    @property
    def job_group(self) -> Any:
        """The group of the running job, or the one that its chain or chord is in; None without one."""
        running = running_of(self)
        if running is None:
            return None
        origin = running.start.origin
        group_id = origin.group_id or next(iter(origin.within), None)
        record = None if group_id is None else running.runtime.store.group(group_id)
        return None if record is None else running.runtime.group_for(record)

    @property
    def attempt(self) -> int | None:
        """The number of the running attempt: 1, 2, …; None when the job is not tracked."""
        running = running_of(self)
        return None if running is None else running.number

    @property
    def fence(self) -> int | None:
        """A number that grows with every acquisition of the job's lock; None without a lock.

        Pass it to what the lock protects, and let that refuse a smaller one than it has seen: a process
        that was frozen while its lock went to another one cannot do harm then. Of a job with more than one
        key it is that of ``without_overlapping``; ``fences`` has all.
        """
        fences = self.fences
        return fences[min(fences, key=_overlap_first)] if fences else None

    @property
    def fences(self) -> Mapping[str, int]:
        """The fence of each key that the running attempt holds."""
        running = running_of(self)
        return {} if running is None else running.fences

    @property
    def cancelled(self) -> bool:
        """Whether the running job or its group was cancelled: long bodies look here and stop.

        The store is asked at most once a second.
        """
        running = running_of(self)
        return running is not None and running.is_cancelled()

    def progress(self, current: float, total: float | None = None, text: str = "") -> None:
        """Record how far the running job is; safe in a tight loop, it writes at most twice a second.

        Args:
            current: How much is done.
            total: How much there is to do, in the same unit; None if it is not known.
            text: What is being done.
        """
        running = running_of(self)
        if running is None:
            return
        numbers = [number for number in (current, total) if number is not None]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            logger.warning("progress %r of %r is no number and is not recorded", current, total)
            return
        running.progress(Progress(current=current, total=total, text=str(text)))

    # -- publishing ----------------------------------------------------------------------------------

    def AsyncResult(self, task_id: str, **kwargs: Any) -> TrackedResult:  # noqa: N802 - Celery's name
        """The result of a job of this task."""
        return TrackedResult(
            task_id, **{"backend": self.backend, "task_name": self.name, "app": self.app, **kwargs}
        )

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's ``retry``; ``max_retries`` given at the dispatch goes before the task's."""
        running = running_of(self)
        if running is not None:
            given = kwargs.get("exc", args[2] if len(args) > _EXC else None)
            running.retried_for = given if given is not None else sys.exc_info()[1]
            if running.header.max_retries is not None:
                kwargs["max_retries"] = running.header.max_retries
        return super().retry(*args, **kwargs)

    def replace(self, sig: Any) -> Any:
        """Celery's ``replace``; the job stays open until the replacement settles it."""
        running = running_of(self)
        if running is None or self.request.is_eager:
            return super().replace(sig)
        return running.replace(sig, super().replace)

    def apply(  # noqa: PLR0917 - Celery's signature
        self,
        args: Any = None,
        kwargs: Any = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int | None = None,
        throw: bool | None = None,
        logfile: str | None = None,
        loglevel: str | None = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Celery's ``apply``: runs the job here and now, recorded like any other."""
        own = {name: options.pop(name) for name in OPTIONS if name in options}
        options |= {"link": link, "link_error": link_error, "retries": retries, "throw": throw}
        options |= {"logfile": logfile, "loglevel": loglevel}
        runtime = Runtime.of(self.app)
        if runtime is None or not runtime.enabled:
            return super().apply(args, kwargs, task_id=task_id, headers=headers, **options)
        task_id = task_id or gen_unique_id()
        outer = current()
        if outer is not None and not outer.closed and outer.start.origin.job_id == task_id:
            # An eager replacement runs inside of the job that it replaces, which settles for both.
            headers = {**(headers or {}), INNER: True}
            return super().apply(args, kwargs, task_id=task_id, headers=headers, **options)
        if not retries:
            headers = {
                **(headers or {}),
                KEY: self._enqueue_eagerly(runtime, task_id, args, kwargs, own, headers),
            }
        with runtime.eagerly():
            result = super().apply(args, kwargs, task_id=task_id, headers=headers, **options)
        return TrackedEagerResult.of(result, self.app)

    def _enqueue_eagerly(  # noqa: PLR0917
        self,
        runtime: Runtime,
        task_id: str,
        args: Any,
        kwargs: Any,
        own: Mapping[str, Any],
        headers: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        given = Header.load(headers or {}) or Header()
        if own.get("deadline") is not None:
            given_deadline(own["deadline"], self.app)
        group_id = group_id_of(own.get("job_group"))
        if group_id is None and self.group_required:
            raise GroupNotSet(f"task {self.name} runs in a group only (group_required = True)")
        header = Header(
            group_id=group_id,
            tags=checked_tags(own.get("tags")),
            max_retries=own.get("jobtrack_max_retries"),
            run=given.run,
            within=() if group_id is None else runtime.lineage.above(group_id),
            callback_of=given.callback_of,
            store_result=checked_store_result(own.get("store_result")),
            claims=_eager_claims(self, args, kwargs, own),
        )
        shown_args, shown_kwargs = show(runtime.settings, args or (), kwargs or {}, task=self)
        origin = Origin(
            job_id=task_id,
            task=self.name,
            args=shown_args,
            kwargs=shown_kwargs,
            tags=header.tags,
            group_id=group_id,
            max_retries=header.max_retries,
            run=header.run,
            within=header.within,
            callback_of=header.callback_of,
            claims=header.claims,
        )
        runtime.tracker.enqueue(EnqueueRequest(origin=origin))
        return header.dump()


def _overlap_first(key: str) -> tuple[bool, str]:
    return not key.startswith(f"{OVERLAPS}:"), key


def _eager_claims(task: Any, args: Any, kwargs: Any, own: Mapping[str, Any]) -> tuple[Claim, ...]:
    """What an eager job claims: nobody could wait for its turn, so a key that is taken is an error.

    Rates are not kept: no worker is spared by that, and tests would be slow.
    """
    claims = claims_of(task, task.name, args or (), kwargs or {}, own)
    return tuple(
        replace(claim, on_conflict=OnConflict.RAISE) if claim.parks else claim
        for claim in claims
        if claim.kind is not Kind.RATE
    )


def gate(cls: type) -> None:
    """Put admission before whatever ``before_start`` a class ends up with.

    Users forget ``super()``, and a mixin's hook may come before ours in the order of classes. The
    tracer looks hooks up on the class, so the gate has to stand there too.
    """
    inherited: Callable[..., Any] = cls.before_start  # type: ignore[attr-defined]
    if inherited is TrackedTask.before_start or getattr(inherited, _GATE, False):
        return

    @functools.wraps(inherited)
    def before_start(self: Any, task_id: str, args: Any, kwargs: Any) -> Any:
        admit(self)
        return inherited(self, task_id, args, kwargs)

    setattr(before_start, _GATE, True)
    cls.before_start = before_start  # type: ignore[attr-defined]


def track(task: Any) -> None:
    """Give a task that is not a ``TrackedTask`` the gate, without changing anything else about it."""
    cls = type(task)
    if issubclass(cls, TrackedTask) or getattr(cls.before_start, _GATE, False):
        return
    gated = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__})
    gate(gated)
    if task.track_started:
        gated.writes_started, gated.track_started = True, False  # type: ignore[attr-defined]
    task.__class__ = gated
