"""Arguments as they are shown and kept: shortened, and without secrets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kombu.utils.encoding import safe_repr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.config import Settings

LONGEST_REPR = 1024
HIDDEN = "…hidden…"


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
    how = getattr(task, "record_args", None) or settings.record_args
    if how == "none":
        return None, None
    named = _parameter_names(task, len(args))
    shown_args = tuple(
        _Hidden() if _is_secret(settings, name) else _redacted(settings, value)
        for name, value in zip(named, args, strict=True)
    )
    shown_kwargs = _redacted(settings, dict(kwargs))
    return _text(shown_args, how), _text(shown_kwargs, how)


def _text(value: Any, how: str) -> str:
    text = safe_repr(value)
    return text if how == "full" or len(text) <= LONGEST_REPR else text[: LONGEST_REPR - 1] + "…"


def _parameter_names(task: Any, count: int) -> list[str]:
    names: list[str] = []
    run = getattr(task, "run", None)
    if run is not None:
        try:
            names = [p.name for p in inspect.signature(run).parameters.values()]
        except (TypeError, ValueError):
            names = []
    return (names + [""] * count)[:count]


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
