"""Details, one per line: its name on the left, what is known on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from celery_jobtrack.cli.clean import clean
from celery_jobtrack.cli.times import ago, at

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from rich.console import RenderableType

LONGEST = 2_000


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """A list of what is known; what is None or empty is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != "":
            grid.add_row(Text(name), _shown(value))
    return grid


def _shown(value: object) -> RenderableType:
    if isinstance(value, Text):
        return _shortened(value)
    if hasattr(value, "__rich_console__"):
        return value
    return _shortened(Text(clean(value)))


def _shortened(text: Text) -> Text:
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].append(f"… ({len(text):,} characters; --json prints all)")


def moment(then: datetime | None, now: datetime) -> Text | None:
    """A time: how long ago, and when that was."""
    if then is None:
        return None
    return Text.assemble(ago(then, now), (f"  {at(then)}", "dim"))
