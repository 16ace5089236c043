"""Text from jobs, made safe for a terminal: a title must not move the cursor or change colours."""

from __future__ import annotations

import unicodedata

_UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
# They reverse the order in which what follows is shown.
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: object, *, keep: str = "") -> str:
    r"""The text, with its control characters shown as escapes: ``\x1b``, ``\n``, ``\u202e``.

    Args:
        text: Anything; its ``str()`` is taken.
        keep: Characters that are left as they are.
    """
    return "".join(
        character if character in keep or not _is_unsafe(character) else _escape(character)
        for character in str(text)
    )


def clean_lines(text: object) -> str:
    """The same for a text of several lines: line breaks stay, tabs become spaces."""
    return clean(str(text).replace("\r\n", "\n").expandtabs(4), keep="\n")


def one_line(text: object) -> str:
    """The same with every run of blanks and line breaks made one blank."""
    return clean(" ".join(str(text).split()))


def _is_unsafe(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in _UNSAFE


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
