"""The facade: one ``JobTrack`` per app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import signals

from celery_jobtrack.errors import JobTrackError
from celery_jobtrack.features import background
from celery_jobtrack.features.background import Background
from celery_jobtrack.features.dispatch import DispatchingTask
from celery_jobtrack.features.groups import Groups, JobGroup, PendingBatch, several
from celery_jobtrack.features.inspection import Inspection
from celery_jobtrack.features.job_classes import JobClasses
from celery_jobtrack.features.locks import Locks
from celery_jobtrack.integration import bootstep, bulk, canvas_groups, publish, tasks
from celery_jobtrack.integration import signals as celery_signals
from celery_jobtrack.integration.cancelling import cancel
from celery_jobtrack.integration.forgetting import forget
from celery_jobtrack.integration.queries import check_age, check_final_states
from celery_jobtrack.integration.redriving import retry_job
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.model.dispatched import Dispatched
from celery_jobtrack.tracking.doctor import Doctor
from celery_jobtrack.tracking.pruner import Pruned, Pruner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from celery import Celery

    from celery_jobtrack.config import Settings
    from celery_jobtrack.integration.result import TrackedResult
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.state import JobState
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.checker import Tick
    from celery_jobtrack.tracking.doctor import Diagnosis, Finding


class JobTrack:
    """Tracking for one Celery app. Nothing is read or opened before it is needed.

    Args:
        app: The app. A second ``JobTrack`` of the same app shares everything with the first.

    Attributes:
        groups: Creates, finds and lists groups.
        inspect: Asks what is recorded.
        jobs: The class-style jobs.

    Example::

        app = Celery("shop", broker="redis://localhost/0")
        app.conf.jobtrack_strategy = "sqlite:///jobs.db"
        jobtrack = JobTrack(app)
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        runtime = Runtime.of(app)
        if runtime is None:
            runtime = Runtime(app, sender=self, group_for=self._group_for)
            _install(app, runtime)
        self.runtime: Runtime = runtime
        self.groups = Groups(runtime)
        self.inspect = Inspection(runtime)
        self.locks = Locks(runtime)
        first = runtime.sender
        self._background = Background(runtime)
        self.jobs: JobClasses = JobClasses(runtime, DispatchingTask) if first is self else first.jobs

    @classmethod
    def of(cls, app: Celery) -> JobTrack:
        """The app's ``JobTrack``; made and installed when there is none."""
        runtime = Runtime.of(app)
        found: JobTrack = cls(app) if runtime is None else runtime.sender
        return found

    @property
    def settings(self) -> Settings:
        """The app's settings, checked. Raises ConfigurationError."""
        return self.runtime.settings

    @property
    def store(self) -> Store:
        """The opened store. Raises Disabled, StoreUnavailable."""
        return self.runtime.store

    def dispatch(self, name: str, payload: Mapping[str, Any] | None = None, /, **more: Any) -> TrackedResult:
        """Record a class-style job, given by its name, and send it.

        Args:
            name: The job's name: ``"send-email"``.
            payload: Its payload.
            more: The payload as keyword arguments.

        Raises:
            UnknownJob: No job has this name.
        """
        result: TrackedResult = self.jobs.pending(name, payload, **more).dispatch()
        return result

    def run_background(
        self,
        function: str,
        arguments: Sequence[Any] | Mapping[str, Any] = (),
        *,
        priority: int | None = None,
        delay: float | None = None,
        retries: int = 0,
        queue: str | None = None,
        group: JobGroup | str | None = None,
    ) -> TrackedResult:
        """Run a function in a worker that is no task, given by its path; it must be approved.

        What is approved is in ``jobtrack_approved_callables``. The path must match, and so must the module
        and the name under which the function was really defined. A worker looks again.

        Args:
            function: ``"module:function"`` or ``"module:Class.method"``; a method runs on a new instance,
                made without arguments.
            arguments: A list of positional arguments, or a mapping of named ones.
            priority: From 0 to 9; 9 goes first.
            delay: Seconds until it runs at the earliest.
            retries: How often it is run again if it raises, after 1, 2, 4, … seconds.
            queue: Where it is sent; by default as the app routes ``jobtrack.run_background``.
            group: Of which it becomes a member.

        Raises:
            NotApproved: It may not be run. A job is recorded that was rejected.
            InvalidPayload: It is no path, leads nowhere, or an argument cannot be sent.
            UnknownQueue, UnknownGroup, GroupCompleted, GroupCancelled: As for every dispatch.

        Example::

            jobtrack.run_background("shop.services:Mailer.send", ["a@example.com"], priority=5, retries=3)
        """
        return self._background.dispatch(
            function, arguments, priority=priority, delay=delay, retries=retries, queue=queue, group=group
        )

    def dispatch_many(
        self,
        signatures: Iterable[Any],
        *,
        group: JobGroup | str | None = None,
        chunk: int = bulk.CHUNK,
        key: str | None = None,
        on_progress: Callable[[Dispatched], object] | None = None,
        progress: bool = False,
        max_outstanding: int | None = None,
    ) -> Dispatched:
        """Record many jobs and send them, chunk by chunk: one write of the store and one batch each.

        Every job is tracked, whatever the class of its task.

        Args:
            signatures: Signatures of registered tasks, from any iterable. A generator is read as its
                jobs are sent, never more than one chunk ahead. A chain, a chord or a group is sent in its
                turn by its own ``apply_async``.
            group: Whose members all of them become, as such or by its id; it is held open meanwhile.
            chunk: How many jobs are recorded and sent at once.
            key: A name that makes a second dispatch of the same signatures, in the same order, add only
                what the first did not record or could not send.
            on_progress: Is called after each chunk with what was dispatched until then.
            progress: Whether a bar is drawn on standard error.
            max_outstanding: With a group: the next chunk waits until fewer of its members are outstanding.

        Returns:
            What became of the signatures.

        Raises:
            InvalidPayload: A signature cannot be sent. Nothing of its chunk was recorded or sent.
            DispatchFailed: The broker failed, or the iterable raised: that error is the cause.
            UnknownGroup, GroupCompleted, GroupCancelled: The group takes no members.
            StoreUnavailable: The store is away, and a group or a key needs it.

            All of them have ``dispatched``: what was sent before.

        Example::

            jobtrack.dispatch_many(resize.s(path) for path in paths)
        """
        about: dict[str, Any] = {"chunk": chunk, "key": key, "on_progress": on_progress}
        about |= {"progress": progress, "max_outstanding": max_outstanding}
        if group is None or not self.runtime.enabled:
            return bulk.dispatch(self.runtime, signatures, **about)
        try:
            found = group if isinstance(group, JobGroup) else self.groups.get(group)
        except JobTrackError as error:
            error.dispatched = Dispatched()
            raise
        return found.dispatch(signatures, **about)

    def batch(
        self,
        signatures: Iterable[Any] = (),
        *,
        title: str = "Batch",
        description: str = "",
        payload: Any = None,
        key: str | None = None,
        time_to_check: float | None = None,
        parent: JobGroup | str | None = None,
    ) -> PendingBatch:
        """Begin a batch; see ``PendingBatch`` for its callbacks, and send it with ``dispatch()``.

        Args:
            signatures: Its members: ``task.s(…)``, or batches, which become batches in this one. Any
                iterable, taken lazily when the batch is dispatched.
            title: What people call it; need not be unique.
            description: More about it, for people.
            payload: Anything that JSON can hold; it stays with the batch.
            key: A name that is unique, to find it by.
            time_to_check: Seconds between two recomputations from ground truth; by default
                ``jobtrack_time_to_check``.
            parent: A group of which the batch becomes a member, until its callbacks have ended.

        Raises:
            InvalidPayload: The members are nothing that could hold signatures.
        """
        about = {"title": title, "description": description, "payload": payload, "key": key}
        return PendingBatch(
            runtime=self.runtime,
            members=several(signatures),
            about={**about, "time_to_check": time_to_check},
            parent=parent,
        )

    def listen(self, name: str, handler: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Have class-style jobs of this name run by a function, which gets the payload as a dictionary.

        Args:
            name: What the job is called in ``dispatch``.
            handler: The function; without it this is a decorator.
            options: ``queue`` and Celery's task options: ``max_retries``, ``acks_late``, …

        Returns:
            The handler.

        Raises:
            ConfigurationError: Another job or task has this name, or an option is none.

        Example::

            @jobtrack.listen("send-notification", max_retries=3)
            def send(payload): ...

            jobtrack.dispatch("send-notification", to="a@example.com")
        """

        def connect(found: Callable[..., Any]) -> Callable[..., Any]:
            self.jobs.listen(name, found, **options)
            return found

        return connect if handler is None else connect(handler)

    def autodiscover(self, *packages: str) -> None:
        """Find class-style jobs in these packages when they are first needed, as Celery finds tasks."""
        self.jobs.autodiscover(*packages)

    def cancel(self, job_id: str, *, terminate: bool = False, signal: str = "SIGTERM") -> bool:
        """See that a job does not run: a queued one never starts, a running one is told.

        Args:
            job_id: The job's id.
            terminate: Whether its worker is asked to end a running body by force, too. Pools of
                processes, gevent and eventlet can; threads and solo cannot, and go on.
            signal: What a process is sent: ``"SIGTERM"``, ``"SIGKILL"``, …

        Returns:
            Whether the job ended by this call; False when it is running or had ended.

        Raises:
            UnknownJob: It was never recorded.
            InvalidPayload: There is no such signal, or the id cannot be one.
            kombu.exceptions.OperationalError: The broker takes no message to the worker; the job is
                told all the same.
        """
        return cancel(self.runtime, job_id, terminate=terminate, signal=signal)

    def retry(self, job_id: str) -> bool:
        """Run one job again that did not succeed: the same id, a new run, the arguments that it had.

        Returns:
            Whether it is queued again by this call; False if it moved on meanwhile.

        Raises:
            UnknownJob: It was never recorded.
            InvalidPayload: It has not failed, its message was not kept, or it stands for a group.
            GroupCancelled: A group of it is being cancelled, and has members that have not ended.
            kombu.exceptions.OperationalError: The broker takes no message; the job has failed again.
        """
        return retry_job(self.runtime, job_id)

    def forget(self, job_id: str) -> None:
        """Delete everything that is known of one job that has ended, and its result in Celery's backend.

        What its group has counted stays as it is. A message of it that a broker delivers after that runs it.

        Raises:
            UnknownJob: It was never recorded.
            InvalidPayload: It has not ended; or it was revoked before it started, or was sent more than
                once, so that a message of it may still come; or it stands for a group.
            GroupNotCompleted: Its group has not completed and told so, or it is a callback of a group that
                still waits for its callbacks.
        """
        forget(self.runtime, job_id)

    def prune(
        self,
        *,
        older_than: float | timedelta | None = None,
        states: Iterable[JobState | str] | None = None,
        on_chunk: Callable[[Pruned], None] | None = None,
    ) -> Pruned:
        """Delete what has been kept for long enough; the checker does the same, bit by bit.

        Args:
            older_than: Seconds or a ``timedelta``, for all tasks and everything, instead of
                ``jobtrack_retention`` and instead of ``retention`` of a task. A job that a broker
                delivers again after that runs again.
            states: Only jobs that ended in these; groups and workers stay then.
            on_chunk: Is called after each chunk, with what was deleted until then.

        Returns:
            How many jobs, groups and workers were deleted.

        Raises:
            InvalidPayload: A time or a state is not one.
            ConfigurationError: A task's ``retention`` is wrong.
        """
        seconds = check_age(older_than)
        wanted = None if states is None else check_final_states(states)
        pruned = Pruned()
        for chunk in Pruner(self.runtime.tracker).prune(older_than=seconds, states=wanted):
            pruned += chunk
            if on_chunk is not None:
                on_chunk(pruned)
        return pruned

    def doctor(
        self, *, repair: bool = False, on_finding: Callable[[Finding], None] | None = None
    ) -> Diagnosis:
        """Compare every record with every other one and with the broker, beside whatever goes on.

        What looks wrong is looked at again before it is reported. Large stores take their time.

        Args:
            repair: Whether to mend what is wrong; each repair leaves a warning of the logger
                ``celery_jobtrack.doctor``.
            on_finding: Is called with each finding as it is made.

        Returns:
            What was found; ``is_well`` says whether nothing is wrong, or all of it was mended.
        """
        doctor = Doctor(self.runtime.tracker, self.runtime.settings)
        return doctor.examine(repair=repair, on_finding=on_finding)

    def check(self) -> Tick | None:
        """Run one tick of the checker; None when another process is at it."""
        checker = self.runtime.checker()
        try:
            return checker.tick()
        finally:
            checker.hand_over()

    def close(self) -> None:
        """Let go of the store's connections and of every thread; the next use opens it again."""
        self.runtime.close()

    def _group_for(self, record: GroupRecord) -> JobGroup:
        return JobGroup(self.runtime, record)


def _install(app: Celery, runtime: Runtime) -> None:
    """Put every seam of ``integration`` in its place."""
    publish.install(app)
    canvas_groups.install(app, runtime.canvas_groups.is_sent)
    celery_signals.connect()
    bootstep.connect()
    tasks.register(app)
    background.register(app, DispatchingTask)
    app.steps["worker"].add(bootstep.JobTrackStep)

    def discover(**_: Any) -> None:
        runtime.sender.jobs.discover()

    def on_beat(sender: Any = None, **_: Any) -> None:
        if sender.app is app and runtime.enabled:
            tasks.schedule(sender.scheduler, runtime)

    # Celery holds receivers weakly: these live as long as the app and no longer.
    runtime.receivers = (discover, on_beat)
    signals.import_modules.connect(discover, sender=app)
    signals.beat_init.connect(on_beat)
