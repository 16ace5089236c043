"""What a task declares about its jobs beside each other, and what a dispatch says otherwise, checked."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import ConfigurationError, InvalidPayload
from celery_jobtrack.model.lock import OnConflict
from celery_jobtrack.model.overlap import Limit, Overlap, fields_of
from celery_jobtrack.model.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPTION = "without_overlapping"
LIMIT = "max_concurrent"
RATE = "global_rate"
UNIQUE_FOR, UNIQUE_UNTIL, UNIQUE_KEY = UNIQUE = ("unique_for", "unique_until", "unique_key")
GIVEN = frozenset({OPTION, *UNIQUE})
"""The options of a dispatch that say what its job claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What holds for one job."""

    unique: Unique | None = None
    overlap: Overlap | None = None
    limit: Limit | None = None
    rate: Limit | None = None

    @property
    def all(self) -> list[Unique | Overlap | Limit]:
        """What was declared."""
        every = self.unique, self.overlap, self.limit, self.rate
        return [declared for declared in every if declared is not None]


def declares_claims(task: Any) -> bool:
    """Whether jobs of this task claim keys."""
    declared = getattr(task, OPTION, None), getattr(task, LIMIT, None), getattr(task, RATE, None)
    unique = getattr(task, UNIQUE_FOR, None), getattr(task, UNIQUE_UNTIL, None)
    return any(each not in {None, False} for each in (*declared, *unique))


def check_claims(task: Any, name: str, *, keeps_message: bool) -> None:
    """Refuse a task whose declarations cannot work. Raises ConfigurationError."""
    for declared in declared_for(task, name, {}).all:
        if isinstance(declared.key, str):
            _check_template(task, name, declared.key)
        elif declared.key is not None:
            _check_function(task, name, declared.key)
        if isinstance(declared, Unique) or keeps_message:
            continue
        if declared.on_conflict in {OnConflict.WAIT, OnConflict.LATEST}:
            raise ConfigurationError(
                f'task {name}: on_conflict="{declared.on_conflict}" parks jobs in the store, which needs '
                "their messages: set keep_message = True (jobtrack_keep_message)"
            )


def check_given(given: Any) -> Any:
    """``without_overlapping`` of a dispatch. Raises InvalidPayload."""
    if given is None or isinstance(given, (bool, Overlap)):
        return given
    raise InvalidPayload(f"without_overlapping is True, False or an Overlap, not {given!r}")


def check_unique(seconds: Any, until: Any, key: Any) -> Unique:
    """``unique_for``, ``unique_until`` and ``unique_key`` of a dispatch. Raises InvalidPayload."""
    try:
        return Unique(seconds=seconds, until="end" if until is None else until, key=key)
    except ValueError as error:
        raise InvalidPayload(str(error)) from None


def declared_for(task: Any, name: str, given: Mapping[str, Any]) -> Declared:
    """What holds for a job of a task.

    Args:
        task: The registered task; None where it is not known.
        name: The task's name.
        given: Options of the dispatch, of which those in ``GIVEN`` go before what the task declares.

    Raises:
        ConfigurationError: A declaration is wrong.
        InvalidPayload: An option is wrong.
    """
    overlap = check_given(given.get(OPTION))
    return Declared(
        unique=_unique(task, name, given),
        overlap=_overlap(getattr(task, OPTION, None) if overlap is None else overlap, name),
        limit=_limit(getattr(task, LIMIT, None), name),
        rate=_rate(getattr(task, RATE, None), name),
    )


def _unique(task: Any, name: str, given: Mapping[str, Any]) -> Unique | None:
    if any(given.get(option) is not None for option in UNIQUE):
        return check_unique(*(given.get(option) for option in UNIQUE))
    seconds, until, key = (_attribute(task, option) for option in UNIQUE)
    if seconds is None and until is None:
        if key is not None:
            raise ConfigurationError(
                f"task {name}: unique_key says nothing without unique_for or unique_until"
            )
        return None
    try:
        return Unique(seconds=seconds, until="end" if until is None else until, key=key)
    except ValueError as error:
        raise ConfigurationError(f"task {name}: {error}") from None


def _attribute(task: Any, name: str) -> Any:
    """What a task declares. A function is not its method: it is given the job's arguments."""
    found = getattr(task, name, None)
    return found.__func__ if inspect.ismethod(found) and not isinstance(found.__self__, type) else found


def _overlap(given: Any, name: str) -> Overlap | None:
    if given is None or given is False:
        return None
    if given is True:
        return Overlap()
    if isinstance(given, Overlap):
        return given
    raise ConfigurationError(f"task {name}: without_overlapping is True, False or an Overlap, not {given!r}")


def _limit(given: Any, name: str) -> Limit | None:
    limit = _made_limit(LIMIT, given, name)
    if limit is not None and limit.interval is not None:
        raise ConfigurationError(
            f"task {name}: max_concurrent is how many run at a time, not {limit.count!r}: "
            "a rate is declared as global_rate"
        )
    return limit


def _rate(given: Any, name: str) -> Limit | None:
    rate = _made_limit(RATE, given, name)
    if rate is not None and rate.interval is None:
        raise ConfigurationError(f'task {name}: global_rate is a rate, "100/m", not {rate.count!r}')
    return rate


def _made_limit(option: str, given: Any, name: str) -> Limit | None:
    if given is None or isinstance(given, Limit):
        return given
    try:
        return Limit(given)
    except ValueError as error:
        raise ConfigurationError(f"task {name}: {option} = {given!r}: {error}") from None


def _check_function(task: Any, name: str, function: Callable[..., str]) -> None:
    """See that a function can be given all arguments that the task takes. Raises ConfigurationError."""
    try:
        takes = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return  # some of those in C do not say
    wanted = inspect.signature(task.run).parameters.values()
    open_ended = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if any(each.kind in open_ended for each in (*takes, *wanted)):
        return
    needs = [each.name for each in takes if each.default is each.empty]
    if len(needs) > len(wanted) or len(takes) < len(wanted):
        raise ConfigurationError(
            f"task {name}: the function of its key takes {len(takes)} arguments, at least {len(needs)}, and "
            f"the task takes {len(wanted)}: it is given the same ones"
        )


def _check_template(task: Any, name: str, template: str) -> None:
    parameters = inspect.signature(task.run).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    known = {each.name for each in parameters}
    for field in fields_of(template):
        if field not in known:
            raise ConfigurationError(
                f"task {name}: the key {template!r} names {field!r}, and the task has no such argument "
                f"(it has {', '.join(sorted(known)) or 'none'})"
            )
