"""A page of a listing, with what to type for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from celery_jobtrack.cli.clean import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from celery_jobtrack.model.requests import Page


def listed(table: RenderableType, page: Page, *, what: str, filtered: bool) -> Group:
    """The table; or that there is nothing, and whether that is because of the filters."""
    if not page.items and page.cursor is not None:  # a store may look at a part of its records only
        return Group(Text(f"No {what} match so far: add --cursor {clean(page.cursor)} to go on", style="dim"))
    if not page.items:
        return Group(Text(f"No {what} match." if filtered else f"No {what} are recorded.", style="dim"))
    if page.cursor is None:
        return Group(table)
    return Group(table, Text(f"There are more: add --cursor {clean(page.cursor)}", style="dim"))
