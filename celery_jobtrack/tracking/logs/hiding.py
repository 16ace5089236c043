"""Secrets in free text, found by the names that stand before them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = "…hidden…"

# Both patterns begin at one place each and cannot match a text in two ways: a text that somebody sends must
# not take time that grows with the square of its length.
_NAME = re.compile(r"(?<![\w-])([\w-]+)\\*[\"']?[ \t]*!?[=:]=*>?[ \t]*")
"""``password=``, ``"password": `` also with escaped quotes, ``X-Api-Key: ``, ``password == ``."""

_VALUE = re.compile(
    r"""
      [bBrRuUfF]{0,2}"(?:[^"\\]|\\.)*(?:"|\Z)
    | [bBrRuUfF]{0,2}'(?:[^'\\]|\\.)*(?:'|\Z)
    | [bBrRuUfF]{0,2}\\+(?P<quote>["']).*?(?:\\(?P=quote)|\Z)  # in a text that is quoted itself
    | [(\[{][^\n]*                                             # where it ends is not known
    | (?:(?i:basic|bearer|digest|token)[ \t]+)?\S+
    """,
    re.VERBOSE | re.DOTALL,
)

_KINDS_OF_ERROR = ("error", "exception", "warning")
"""A traceback ends with ``InvalidTokenError: …``, which is no secret."""


class Hiding:
    """Hides the values that follow names of secrets: ``password=…``, ``'token': …``.

    Args:
        names: Parts of names, in lower case.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def __call__(self, text: str) -> str:
        """The text without what was found."""
        kept: list[str] = []
        done = 0
        for name in _NAME.finditer(text):
            if name.start() < done or not self._is_secret(name[1]):
                continue
            value = _VALUE.match(text, name.end())
            if value is not None:
                kept += text[done : name.end()], HIDDEN
                done = value.end()
        return "".join((*kept, text[done:]))

    def _is_secret(self, name: str) -> bool:
        lowered = name.lower()
        if lowered.endswith(_KINDS_OF_ERROR):
            return False
        alike = (lowered, lowered.replace("-", "_"))
        return any(part in each for part in self._names for each in alike)
