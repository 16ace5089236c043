"""The settings: their names, defaults and checks."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.model.levels import Levels
from celery_jobtrack.model.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PREFIX = "jobtrack_"

NAMESPACE = re.compile(r"[a-z0-9_]{1,24}")
"""What a namespace may be called: it becomes part of table and key names."""

LONGEST = 10 * 366 * 86_400.0
"""Seconds; longer spans lead out of the calendar."""

LOST_POLICIES = ("auto", "fail", "requeue")

REDACTED = ("password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "credential")
"""Parts of argument names whose values are not shown or kept, unless ``jobtrack_redact`` says otherwise."""


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("it must be True or False")


def _seconds(value: Any) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("it must be a number of seconds or a timedelta")  # noqa: TRY004 - one kind for the caller
    if not 0 < value <= LONGEST:
        raise ValueError("it must be more than 0 seconds and at most ten years")
    return float(value)


def _seconds_or_none(value: Any) -> float | None:
    return None if value is None else _seconds(value)


def check_seconds(name: str, value: Any, error: type[Exception]) -> float:
    """A time span given by a caller: a number of seconds or a ``timedelta``, more than 0.

    Args:
        name: What it is called there.
        value: What was given.
        error: The exception to raise if it is neither.
    """
    try:
        return _seconds(value)
    except ValueError as reason:
        raise error(f"{name} = {value!r}: {reason}") from None


def _retention(value: Any) -> Retention:
    return Retention().overridden(value, _seconds)


def retention_of_task(task: str, given: Any, app: Retention) -> Retention:
    """The retention of a task's jobs, where the task has one of its own.

    Args:
        task: The task's name.
        given: What the task declares.
        app: What holds for what it does not declare.

    Raises:
        ConfigurationError: The declaration is wrong.
    """
    try:
        return app.overridden_for_a_task(given, _seconds)
    except ValueError as error:
        raise ConfigurationError(f"task {task}: retention = {given!r}: {error}") from None


def _namespace(value: Any) -> str:
    if isinstance(value, str) and NAMESPACE.fullmatch(value):
        return value
    raise ValueError("it must be 1 to 24 lower-case letters, digits or underscores")


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("it must be a whole number, 0 or more")
    return value


def _at_least_one(value: Any) -> int:
    if _count(value) == 0:
        raise ValueError("it must be a whole number, 1 or more")
    return int(value)


def _path(value: Any) -> str | None:
    if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
        path = None if value is None else str(os.fspath(value))
        if path is not None and os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112
            raise ValueError("there is a file of this name; it must be the path of a folder")
        return path
    raise ValueError("it must be the path of a folder")


def _log_file(value: Any) -> str | None:
    """Absolute, as a process may change its working directory before it writes."""
    if value is None:
        return None
    if (
        not isinstance(value, (str, os.PathLike))
        or not isinstance(os.fspath(value), str)
        or not os.fspath(value)
    ):
        raise ValueError("it must be the path of a file, or None")
    path = os.path.abspath(value)  # noqa: PTH100 - one that resolves no links
    if os.path.isdir(path) or os.fspath(value).endswith(os.sep):  # noqa: PTH112
        raise ValueError("this is a folder; it must be the path of a file")
    folder = os.path.dirname(path)  # noqa: PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        raise ValueError(f"there is no folder {folder}; make it, as only the file itself is made")
    return path


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError(f"it must be one of {', '.join(map(repr, choices))}")

    return check


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise ValueError("it must be a list of names")
    return tuple(name.lower() for name in value)


def _patterns(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(pattern, str) for pattern in value):
        raise ValueError("it must be a list of patterns")
    for pattern in value:
        if pattern.count(":") != 1 or not all(pattern.split(":")):
            raise ValueError(
                f"{pattern!r} is no pattern of a function: write 'module:function' or 'module:*'"
            )
    return tuple(value)


def _anything(value: Any) -> Any:
    return value


def _setting(default: Any, check: Callable[[Any], Any]) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one app, checked. Each is set as ``jobtrack_<name>`` in Celery's configuration."""

    enabled: bool = _setting(default=True, check=_flag)
    """False is the emergency switch: jobs are dispatched and run, untracked."""
    strategy: Any = _setting(default=None, check=_anything)
    """A store's URL, or a strategy as import path, class or instance; inferred when not set."""
    namespace: str = _setting(default="default", check=_namespace)
    """Keeps the jobs of several apps apart in one store."""
    track_all: bool = _setting(default=False, check=_flag)
    """Track every task of the app, not only those with ``base=TrackableTask``."""
    record_args: str = _setting(default="repr", check=_one_of("none", "repr", "full"))
    """How arguments are shown and kept: not at all, up to 1 KB, or whole; always redacted."""
    keep_message: bool = _setting(default=True, check=_flag)
    """Keep what is needed to publish a job again, until it has succeeded."""
    result_max_bytes: int = _setting(default=65_536, check=_count)
    """The most that is kept of what one job returned, where a task says ``store_result = True``."""
    redact: tuple[str, ...] = _setting(default=REDACTED, check=_names)
    """Parts of argument names whose values are neither shown nor kept."""
    check_interval: float = _setting(default=10.0, check=_seconds)
    """Seconds between two ticks of the checker."""
    time_to_check: float = _setting(default=60.0, check=_seconds)
    """Seconds between two recomputations of a group, unless the group says otherwise."""
    heartbeat: float = _setting(default=10.0, check=_seconds)
    """Seconds between two heartbeats of a worker."""
    lease: float = _setting(default=45.0, check=_seconds)
    """Seconds without a heartbeat after which a worker is given up."""
    lost_policy: str = _setting(default="auto", check=_one_of(*LOST_POLICIES))
    """What becomes of a job whose worker was lost: ``auto`` runs it again where Celery would."""
    max_lost: int = _setting(default=3, check=_count)
    """How often a job that was lost is run again; then it fails as a poison pill."""
    lost_message_after: float = _setting(default=30.0, check=_seconds)
    """Seconds after which a job that has not started is suspected to have lost its message."""
    on_store_error: str = _setting(default="spool", check=_one_of("spool", "raise"))
    """What a dispatch without a group does that cannot be recorded: go on, or raise ``StoreUnavailable``."""
    canvas_groups: bool = _setting(default=True, check=_flag)
    """Record Celery's groups, and the headers of its chords, as groups of jobs."""
    queues: Levels | None = _setting(default=None, check=Levels.read)
    """Levels of queues, the first goes first; None leaves queues to Celery."""
    spool_dir: str | None = _setting(default=None, check=_path)
    """Folder of what could not be recorded while the store was away; found by itself when not set."""
    retention: Retention = _setting(default=Retention(), check=_retention)
    """How long what has ended is kept, by state."""
    job_log: str | None = _setting(default=None, check=_log_file)
    """File to which every process appends a line of JSON for each event of a job."""
    error_log: str | None = _setting(default=None, check=_log_file)
    """File to which every process appends failures and lost workers only, with tracebacks."""
    approved_callables: tuple[str, ...] = _setting(default=(), check=_patterns)
    """Patterns of functions that ``run_background`` may run: ``"shop.services:*"``."""
    park_after: float | None = _setting(default=900.0, check=_seconds_or_none)
    """A job that is due later than in so many seconds stays in the store until then; None: none does."""
    deadlines_ahead: int = _setting(default=4, check=_at_least_one)
    """How many jobs with a deadline of one queue are on their way to a worker at a time."""
    store_wait: float = _setting(default=15.0, check=_seconds)
    """Seconds for which a starting worker waits for the store."""

    @classmethod
    def read(cls, conf: Mapping[str, Any]) -> Settings:
        """Read and check the settings in Celery's configuration.

        Args:
            conf: ``app.conf``; also under a namespace, as ``CELERY_JOBTRACK_<NAME>``.

        Raises:
            ConfigurationError: A name is not known, or a value is not allowed.
        """
        known = {each.name: each for each in fields(cls)}
        _refuse_unknown(map(str, conf), known)
        values: dict[str, Any] = {}
        for name, setting in known.items():
            value = conf.get(PREFIX + name, MISSING)
            if value is not MISSING:
                values[name] = _checked(name, value, setting)
        settings = cls(**values)
        if settings.lease <= settings.heartbeat:
            raise ConfigurationError(
                f"jobtrack_lease ({settings.lease:g} s) must be longer than jobtrack_heartbeat "
                f"({settings.heartbeat:g} s): otherwise healthy workers are given up"
            )
        if settings.job_log is not None and settings.job_log == settings.error_log:
            raise ConfigurationError(
                f"jobtrack_job_log and jobtrack_error_log are the same file, {settings.job_log}: "
                "every failure would be in it twice"
            )
        return settings


def _checked(name: str, value: Any, setting: Field[Any]) -> Any:
    try:
        return setting.metadata["check"](value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"jobtrack_{name} = {value!r}: {error}") from None


def _refuse_unknown(keys: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for key in keys:
        found = re.fullmatch(r"(?:[a-z0-9]+_)??jobtrack_(.+)", key.lower())
        if found is None or found[1] in names:
            continue
        near = difflib.get_close_matches(found[1], names, n=1, cutoff=0.5)
        hint = f"did you mean jobtrack_{near[0]}?" if near else f"known: {', '.join(sorted(names))}"
        raise ConfigurationError(f"setting {key!r} is not known; {hint}")
