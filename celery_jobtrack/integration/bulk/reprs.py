"""Arguments as Celery shows them in ``argsrepr``, in a tenth of the time where they are simple."""

from __future__ import annotations

from typing import Any

from celery.utils.saferepr import saferepr

_NUMBERS = frozenset({int, bool, type(None)})


class Repr:
    """Celery's ``saferepr`` with the app's limits.

    Args:
        longest: Characters after which it is cut.
        deepest: Levels of containers after which it is cut; None for Celery's own.
    """

    def __init__(self, longest: int, deepest: int | None) -> None:
        self._longest = longest
        self._options: dict[str, Any] = {} if deepest is None else {"maxlevels": deepest}

    def __call__(self, arguments: Any) -> str:
        """The text."""
        if type(arguments) in {dict, tuple} and not arguments:
            return repr(arguments)
        if type(arguments) is tuple and all(_is_simple(value) for value in arguments):
            text = repr(arguments)
            # Celery counts a little differently, so near the limit it is asked.
            if len(text) < self._longest // 2:
                return text
        cut: str = saferepr(arguments, self._longest, **self._options)
        return cut


def _is_simple(value: Any) -> bool:
    """Whether Python shows it as Celery does."""
    kind = type(value)
    return kind in _NUMBERS or (
        kind is str and value.isascii() and value.isprintable() and "'" not in value and "\\" not in value
    )
