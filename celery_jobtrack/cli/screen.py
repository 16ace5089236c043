"""The terminal: how wide it is, whether it has colours, and printing what must not be cut."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment, Segments

if TYPE_CHECKING:
    from rich.console import RenderableType

UNBOUNDED = 1_000
"""Columns of what is no terminal, such as a file or a pipe to grep: nothing is cut there."""


def open_console(*, no_color: bool) -> Console:
    """A console on stdout that takes every text literally.

    Args:
        no_color: Celery's ``--no-color``; rich itself looks at ``NO_COLOR`` and at the terminal.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no sign for a letter gets its number, not an exception.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Without any stdout (``>&-``) it is None, and rich writes to nowhere.
    bounded = "COLUMNS" in os.environ or (sys.stdout is not None and sys.stdout.isatty())
    return Console(
        no_color=no_color or None,
        width=None if bounded else UNBOUNDED,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_whole(console: Console, shown: RenderableType) -> None:
    """Print in the console's width, and let what cannot be made to fit stand over it.

    No line ends in blanks, which rich puts there to fill its columns.
    """
    lines = Segment.split_lines(console.render(shown, console.options.update(overflow="fold")))
    whole = [segment for line in lines for segment in (*_without_end_blanks(line), Segment.line())]
    console.print(Segments(whole), end="", crop=False)


def _without_end_blanks(line: list[Segment]) -> list[Segment]:
    while line and not line[-1].text.rstrip(" "):
        line = line[:-1]
    if not line:
        return line
    text, style, control = line[-1]
    return [*line[:-1], Segment(text.rstrip(" "), style, control)]
