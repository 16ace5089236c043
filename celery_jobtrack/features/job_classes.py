"""Class-style jobs: a class per kind of job, found by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any, ClassVar

from celery._state import get_current_app
from celery.utils.imports import import_from_cwd

from celery_jobtrack.errors import ConfigurationError, InvalidPayload, UnknownJob
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.model.names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TASK_OPTIONS = (
    "max_retries",
    "default_retry_delay",
    "autoretry_for",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "acks_late",
    "acks_on_failure_or_timeout",
    "reject_on_worker_lost",
    "retry_on_worker_lost",
    "time_limit",
    "soft_time_limit",
    "rate_limit",
    "ignore_result",
    "group_required",
    "tracking_strategy",
    "record_args",
    "keep_message",
    "lost_policy",
    "retention",
    "without_overlapping",
    "max_concurrent",
    "global_rate",
    "unique_for",
    "unique_until",
    "unique_key",
    "run_late",
)
_OF_A_HANDLER = ("queue", *_TASK_OPTIONS)
MISSING: Any = object()


class Job:
    """A kind of job. A fresh instance runs each job; it is not a Celery task, one is made for it.

    Attributes:
        name: What the job is called; by default the class's name as a slug: ``SendEmail`` is
            ``"send-email"``.
        queue: The queue its jobs are sent to; by default the app's.

    Celery's task options (``max_retries``, ``acks_late``, ``time_limit``, …) are class attributes
    too.

    Example::

        class SendEmail(Job):
            max_retries = 5

            def run(self):
                send(self.get("to"), self.get("view", "plain"))

        SendEmail.dispatch(to="a@example.com")
    """

    name: ClassVar[str | None] = None
    queue: ClassVar[str | None] = None
    abstract: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.abstract = vars(cls).get("abstract", False)

    def __init__(self, task: Any, payload: Mapping[str, Any]) -> None:
        self.task = task
        """The task that runs it: ``self.task.request`` is Celery's request."""
        self.payload = payload

    def run(self) -> Any:
        """Do the work. What it returns is the job's result."""
        raise NotImplementedError(f"{type(self).__qualname__} must define run()")

    def get(self, key: str, default: Any = MISSING) -> Any:
        """A value of the payload.

        Raises:
            InvalidPayload: There is none of this name, and no default was given.
        """
        if key in self.payload:
            return self.payload[key]
        if default is MISSING:
            raise InvalidPayload(
                f"job {job_name(type(self))!r} was dispatched without {key!r}; it has {sorted(self.payload)}"
            )
        return default

    def retry(self, **options: Any) -> Any:
        """Celery's ``Task.retry``."""
        return self.task.retry(**options)

    def progress(self, current: float, total: float | None = None, text: str = "") -> None:
        """Record how far the job is; see ``TrackableTask.progress``."""
        self.task.progress(current, total, text)

    @property
    def current_job(self) -> Any:
        """The job's record as of its start."""
        return self.task.current_job

    @property
    def job_group(self) -> Any:
        """The job's group; None without one."""
        return self.task.job_group

    @property
    def fence(self) -> int | None:
        """A number that grows with every acquisition of the job's lock; see ``TrackableTask.fence``."""
        fence: int | None = self.task.fence
        return fence

    @property
    def attempt(self) -> int | None:
        """The number of the running attempt, from 1."""
        attempt: int | None = self.task.attempt
        return attempt

    @property
    def cancelled(self) -> bool:
        """Whether the job or its group was cancelled."""
        return bool(self.task.cancelled)

    @classmethod
    def job(cls, payload: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Begin a dispatch of this job on the current app; see ``PendingDispatch``."""
        runtime = Runtime.of(get_current_app())
        if runtime is None:
            raise ConfigurationError(
                f"{cls.__qualname__} belongs to no app with tracking; make a JobTrack(app) first"
            )
        return runtime.sender.jobs.pending(cls, payload, **more)

    @classmethod
    def dispatch(cls, payload: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Record a job of this kind and send it. Its payload is a mapping, or keyword arguments."""
        return cls.job(payload, **more).dispatch()


def job_name(cls: type[Job]) -> str:
    """What a job is called: its ``name``, or its class's name as a slug."""
    if cls.name:
        return cls.name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", cls.__name__)
    return words.strip("-").lower()


class JobClasses:
    """``jobtrack.jobs``: the class-style jobs of one app, each with the task that runs it.

    Args:
        runtime: The app's.
        task_base: The base class of the tasks that are made.
    """

    def __init__(self, runtime: Runtime, task_base: type) -> None:
        self._runtime = runtime
        self._task_base = task_base
        self._classes: dict[str, type[Job]] = {}
        self._packages: list[str] = []

    def register(self, cls: type[Job]) -> Any:
        """The task that runs jobs of this class; made at the first call.

        Raises:
            ConfigurationError: Another class has the same name.
        """
        name = job_name(cls)
        known = self._classes.get(name)
        if known is None and name in self._runtime.app._tasks:  # noqa: SLF001 - app.tasks would finalise it
            raise ConfigurationError(
                f"job {name!r} ({cls.__qualname__}) has the name of a task; give it another"
            )
        if known is not None and _identity(known) != _identity(cls):
            raise ConfigurationError(
                f"two jobs are called {name!r}: {_identity(known)} and {_identity(cls)}; give one a name"
            )
        if known is not cls:
            self._classes[name] = cls
            self._make_task(name, cls)
        return self._runtime.app._tasks[name]  # noqa: SLF001

    def listen(self, name: str, handler: Callable[..., Any], **options: Any) -> type[Job]:
        """Have jobs of this name run by a function, which gets the payload.

        Args:
            name: What the job is called.
            handler: Is called with the payload, a dictionary.
            options: Attributes of the job, as a class has them: ``queue``, ``max_retries``, …

        Raises:
            ConfigurationError: A job or a task has this name, the handler cannot be called, or an option is
                none.
        """
        check_name("a job", name, ConfigurationError)
        if not callable(handler):
            raise ConfigurationError(f"the handler of job {name!r} cannot be called: {handler!r}")
        if name in self._classes:
            raise ConfigurationError(f"job {name!r} has a handler already; a job is run by one")
        for option in options:
            if option not in _OF_A_HANDLER:
                near = difflib.get_close_matches(option, _OF_A_HANDLER, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_OF_A_HANDLER)}"
                raise ConfigurationError(f"job {name!r}: option {option!r} is not known; {hint}")

        def run(job: Job) -> Any:
            return handler(dict(job.payload))

        about = {"__doc__": handler.__doc__, "__module__": getattr(handler, "__module__", __name__)}
        cls = type(getattr(handler, "__name__", name), (Job,), {"name": name, "run": run, **about, **options})
        self.register(cls)
        return cls

    def autodiscover(self, *packages: str) -> None:
        """Find the jobs in these packages, their modules included, when the app first needs them."""
        self._packages += packages

    def discover(self) -> None:
        """Import the packages that are waiting to be searched."""
        while self._packages:
            for module in _modules(self._packages.pop(0)):
                for found in list(vars(module).values()):
                    ours = isinstance(found, type) and issubclass(found, Job) and not found.abstract
                    if ours and found.__module__ == module.__name__:
                        self.register(found)

    def pending(self, job: type[Job] | str, payload: Mapping[str, Any] | None, /, **more: Any) -> Any:
        """Begin a dispatch of a job, given as class or by name.

        Raises:
            UnknownJob: No job has this name.
            InvalidPayload: The payload is not a mapping.
        """
        if payload is not None and not hasattr(payload, "keys"):
            raise InvalidPayload(f"a job's payload is a mapping or keyword arguments, not {payload!r}")
        if payload is not None and not all(isinstance(key, str) for key in payload):
            raise InvalidPayload(f"the keys of a job's payload are strings; there are {list(payload)!r}")
        self.discover()
        cls = self._classes.get(job) if isinstance(job, str) else job
        if cls is None:
            known = ", ".join(sorted(self._classes)) or "none"
            raise UnknownJob(f"no job is called {job!r}; known: {known}. Is its package autodiscovered?")
        task = self.register(cls)
        pending = task.job(**{**(payload or {}), **more})
        return pending.on_queue(cls.queue) if cls.queue else pending

    def _make_task(self, name: str, cls: type[Job]) -> None:
        def run(task: Any, /, **payload: Any) -> Any:
            return cls(task, payload).run()

        options = {key: getattr(cls, key) for key in _TASK_OPTIONS if hasattr(cls, key)}
        run.__doc__ = cls.__doc__
        run.__name__ = cls.__name__
        run.__module__ = cls.__module__
        self._runtime.app.task(
            name=name, base=self._task_base, bind=True, shared=False, lazy=False, typing=False, **options
        )(run)


def _identity(cls: type[Job]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _modules(package: str) -> Iterator[Any]:
    module = import_from_cwd(package)  # as Celery imports tasks: the working directory counts
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), prefix=f"{package}."):
        yield importlib.import_module(found.name)
