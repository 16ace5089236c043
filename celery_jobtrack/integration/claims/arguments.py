"""The arguments of a job, and the keys that are made of them."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any

from kombu.exceptions import EncodeError
from kombu.utils import json

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.names import LONGEST, check_name
from celery_jobtrack.model.overlap import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Arguments:
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

    def key(
        self, kind: str, given: str | Callable[..., str] | None, *, of_all: bool, shared: bool = False
    ) -> str:
        """The name of a key, which tells what it is of."""
        own = self._own(given, of_all=of_all)
        parts = (kind, own) if shared else (kind, self._name, own)
        return _bounded(":".join(part for part in parts if part))

    def _own(self, given: str | Callable[..., str] | None, *, of_all: bool) -> str:
        if given is None:
            return self._digest() if of_all else ""
        if isinstance(given, str):
            return self._filled(given)
        try:
            own = given(*self._args, **self._kwargs)
        except Exception as error:
            raise InvalidPayload(
                f"the function that makes a key of task {self._name} raised {error!r} for its arguments"
            ) from error
        bounded = _bounded(own) if isinstance(own, str) else own
        return check_name(f"what the key of task {self._name} gives", bounded, InvalidPayload)

    def _filled(self, template: str) -> str:
        try:
            filled = fill(template, self._named)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPayload(
                f"the key {template!r} of task {self._name} cannot be made of its arguments "
                f"({', '.join(sorted(self._named)) or 'none'}): {_said(error)}"
            ) from None
        return check_name(f"the key {template!r} of task {self._name}", _bounded(filled), InvalidPayload)

    def _digest(self) -> str:
        try:
            text = json.dumps(self._bound, sort_keys=True)
        except (TypeError, ValueError, EncodeError) as error:
            raise InvalidPayload(
                f"the arguments of task {self._name} cannot be compared with those of other jobs ({error}): "
                "give the declaration a key, a template or a function of them"
            ) from None
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _said(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else repr(error)


def _bounded(key: str) -> str:
    """The key, or a shorter one that is as good as it."""
    if len(key.encode()) <= LONGEST:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return key.encode()[: LONGEST - len(digest) - 1].decode(errors="ignore") + "#" + digest
