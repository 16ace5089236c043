"""JSON texts that are the same for many jobs but for some strings in them."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

quoted = json.encoder.encode_basestring_ascii
"""A string as it stands in JSON, escaped as kombu's ``dumps`` does."""


def token() -> str:
    """A string that stands nowhere else, and that no encoding changes."""
    return f"gap{uuid.uuid4().hex}"


class Gaps:
    """A JSON text with gaps.

    Args:
        text: The text, with tokens where the gaps are: each a whole string of the JSON.
        tokens: The name of each token's gap.
    """

    def __init__(self, text: str, tokens: Mapping[str, str]) -> None:
        pattern = "|".join(f'"({re.escape(found)})"' for found in tokens)
        self._parts: list[str] = []
        self._places: list[tuple[int, str]] = []
        end = 0
        for match in re.finditer(pattern, text):
            self._parts += [text[end : match.start()], ""]
            self._places.append((len(self._parts) - 1, tokens[match[match.lastindex or 0]]))
            end = match.end()
        self._parts.append(text[end:])

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with values in its gaps, each as JSON."""
        parts = self._parts.copy()
        for place, name in self._places:
            parts[place] = values[name]
        return "".join(parts)
