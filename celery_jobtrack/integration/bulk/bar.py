"""A bar that shows how far a dispatch is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_jobtrack.model.dispatched import Dispatched


@contextmanager
def bar(signatures: Any) -> Iterator[Callable[[Dispatched], object]]:
    """Draw a bar on standard error; gives what moves it.

    Args:
        signatures: What is dispatched; the bar has an end if it has a length.
    """
    # Few dispatches draw one, and rich takes long to import.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    total = len(signatures) if hasattr(signatures, "__len__") else None
    columns = (TextColumn("dispatching"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as drawn:
        task = drawn.add_task("dispatching", total=total)
        yield lambda report: drawn.update(task, completed=report.total)
