"""Which keys a job claims: from what its task declares, what its dispatch says, and its arguments."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any

from kombu.exceptions import EncodeError
from kombu.utils import json

from celery_jobtrack.errors import ConfigurationError, InvalidPayload
from celery_jobtrack.model.lock import Claim, OnConflict, in_order
from celery_jobtrack.model.names import LONGEST, check_name
from celery_jobtrack.model.overlap import Limit, Overlap, fields_of, fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTION = "without_overlapping"
LIMIT = "max_concurrent"

# With these the keys of tasks begin. Keys are taken by name: who has to wait for others of its own kind does
# so before it takes one of the slots that all share.
OVERLAPS, SLOTS = "overlap", "slots"


def claims_of(
    task: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], given: Any = None
) -> tuple[Claim, ...]:
    """The keys that a job claims, in the order in which they are taken.

    Args:
        task: The registered task; None where it is not known.
        name: The task's name.
        args: Of the job.
        kwargs: Of the job.
        given: ``without_overlapping`` as the dispatch has it; None leaves it to the task.

    Raises:
        InvalidPayload: A key cannot be made of these arguments.
        ConfigurationError: A declaration is wrong.
    """
    overlap = _overlap(getattr(task, OPTION, None) if given is None else given, name)
    limit = _limit(getattr(task, LIMIT, None), name)
    if overlap is None and limit is None:
        return ()
    claims = []
    arguments = _Arguments(task, name, args, kwargs)
    if overlap is not None:
        key = arguments.key(OVERLAPS, overlap, of_all=True)
        claims.append(_claim(key, overlap, 1))
    if limit is not None:
        key = arguments.key(SLOTS, limit, of_all=False)
        claims.append(_claim(key, limit, limit.count))
    return in_order(tuple(claims))


def declares_claims(task: Any) -> bool:
    """Whether jobs of this task claim keys."""
    return getattr(task, OPTION, None) not in {None, False} or getattr(task, LIMIT, None) is not None


def check_claims(task: Any, name: str, *, keeps_message: bool) -> None:
    """Refuse a task whose declarations cannot work. Raises ConfigurationError."""
    overlap = _overlap(getattr(task, OPTION, None), name)
    limit = _limit(getattr(task, LIMIT, None), name)
    declarations: tuple[Overlap | Limit | None, ...] = overlap, limit
    for declared in declarations:
        if declared is None:
            continue
        if isinstance(declared.key, str):
            _check_template(task, name, declared.key)
        if not keeps_message and declared.on_conflict in {OnConflict.WAIT, OnConflict.LATEST}:
            raise ConfigurationError(
                f'task {name}: on_conflict="{declared.on_conflict}" parks jobs in the store, which needs '
                "their messages: set keep_message = True (jobtrack_keep_message)"
            )


def check_given(given: Any) -> Any:
    """``without_overlapping`` of a dispatch. Raises InvalidPayload."""
    if given is None or isinstance(given, (bool, Overlap)):
        return given
    raise InvalidPayload(f"without_overlapping is True, False or an Overlap, not {given!r}")


def _claim(key: str, declared: Overlap | Limit, limit: int) -> Claim:
    return Claim(
        key=key,
        limit=limit,
        on_conflict=OnConflict(declared.on_conflict),
        across_retries=declared.across_retries,
    )


def _overlap(given: Any, name: str) -> Overlap | None:
    if given is None or given is False:
        return None
    if given is True:
        return Overlap()
    if isinstance(given, Overlap):
        return given
    raise ConfigurationError(f"task {name}: without_overlapping is True, False or an Overlap, not {given!r}")


def _limit(given: Any, name: str) -> Limit | None:
    if given is None or isinstance(given, Limit):
        return given
    try:
        return Limit(given)
    except ValueError as error:
        raise ConfigurationError(f"task {name}: max_concurrent = {given!r}: {error}") from None


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


class _Arguments:
    """The arguments of one job, by their names where the task is known."""

    def __init__(self, task: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._name = name
        self._args, self._kwargs = tuple(args), dict(kwargs)
        self._named: dict[str, Any] = dict(kwargs)
        self._bound: Any = [list(args), dict(kwargs)]
        if task is not None:
            self._bind(task)

    def _bind(self, task: Any) -> None:
        try:
            bound = inspect.signature(task.run).bind(*self._args, **self._kwargs)
        except TypeError:
            return  # the body will say so itself
        bound.apply_defaults()
        for parameter in bound.signature.parameters.values():
            value = bound.arguments[parameter.name]
            if parameter.kind is parameter.VAR_KEYWORD:
                self._named.update(value)
            else:
                self._named[parameter.name] = value
        self._bound = bound.arguments

    def key(self, kind: str, declared: Overlap | Limit, *, of_all: bool) -> str:
        """The name of a key, which tells what it is of."""
        own = self._own(declared, of_all=of_all)
        parts = (kind, own) if declared.shared else (kind, self._name, own)
        return _bounded(":".join(part for part in parts if part))

    def _own(self, declared: Overlap | Limit, *, of_all: bool) -> str:
        if declared.key is None:
            return self._digest() if of_all else ""
        if isinstance(declared.key, str):
            return self._filled(declared.key)
        own = declared.key(*self._args, **self._kwargs)
        bounded = _bounded(own) if isinstance(own, str) else own
        return check_name(f"what the key of task {self._name} gives", bounded, InvalidPayload)

    def _filled(self, template: str) -> str:
        try:
            filled = fill(template, self._named)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPayload(
                f"the key {template!r} of task {self._name} cannot be made of its arguments "
                f"({', '.join(sorted(self._named)) or 'none'}): {error!r}"
            ) from None
        return check_name(f"the key {template!r} of task {self._name}", _bounded(filled), InvalidPayload)

    def _digest(self) -> str:
        try:
            text = json.dumps(self._bound, sort_keys=True)
        except (TypeError, ValueError, EncodeError) as error:
            raise InvalidPayload(
                f"the arguments of task {self._name} cannot be compared with those of other jobs ({error}): "
                "give without_overlapping=Overlap(key=…) a template or a function of them"
            ) from None
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _bounded(key: str) -> str:
    """The key, or a shorter one that is as good as it."""
    if len(key.encode()) <= LONGEST:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return key.encode()[: LONGEST - len(digest) - 1].decode(errors="ignore") + "#" + digest
