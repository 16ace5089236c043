"""Arguments as they are shown and kept: shortened, and without secrets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from kombu.utils.encoding import safe_repr

from celery_jobtrack.tracking.logs.hiding import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.config import Settings

LONGEST_REPR = 1024


class _Hidden:
    def __repr__(self) -> str:
        return HIDDEN


def show(
    settings: Settings, args: Sequence[Any], kwargs: Mapping[str, Any], *, task: Any = None
) -> tuple[str | None, str | None]:
    """The arguments as text, as ``jobtrack_record_args`` and ``jobtrack_redact`` say.

    Args:
        settings: The app's settings.
        args: Positional arguments; those that the task's signature names are redacted by name.
        kwargs: Keyword arguments; redacted by name, also inside of nested mappings.
        task: The task, if it is known here. Its ``record_args`` goes before the setting.
    """
    return Showing(settings, task)(args, kwargs)


class Showing:
    """How the arguments of one task are shown; looked up once for many jobs.

    Args:
        settings: The app's settings.
        task: The task, if it is known here.
    """

    def __init__(self, settings: Settings, task: Any) -> None:
        self._settings = settings
        self._how: str = getattr(task, "record_args", None) or settings.record_args
        names = [] if self._how == "none" else _parameter_names(task)
        self._hidden = [_is_secret(settings, name) for name in names]

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The arguments as text; None for both if they are not recorded."""
        if self._how == "none":
            return None, None
        settings = self._settings
        shown_args = tuple(
            _Hidden() if hidden else _redacted(settings, value)
            for hidden, value in zip_longest(self._hidden[: len(args)], args, fillvalue=False)
        )
        shown_kwargs = _redacted(settings, dict(kwargs))
        return _text(shown_args, self._how), _text(shown_kwargs, self._how)


def _text(value: Any, how: str) -> str:
    text = safe_repr(value)
    return text if how == "full" or len(text) <= LONGEST_REPR else text[: LONGEST_REPR - 1] + "…"


def _parameter_names(task: Any) -> list[str]:
    run = getattr(task, "run", None)
    if run is None:
        return []
    try:
        return [p.name for p in inspect.signature(run).parameters.values()]
    except (TypeError, ValueError):
        return []


def _is_secret(settings: Settings, name: Any) -> bool:
    lowered = str(name).lower()
    return any(part in lowered for part in settings.redact)


def _redacted(settings: Settings, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _Hidden() if _is_secret(settings, key) else _redacted(settings, inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return (
            type(value)(_redacted(settings, inner) for inner in value)
            if type(value) in (list, tuple)
            else value
        )
    return value
