"""Queues, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.model.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from celery_jobtrack.model.queue import QueueStatus


def queues_table(queues: Iterable[QueueStatus]) -> RenderableType:
    """A table of queues."""
    columns = (
        Column(title="QUEUE", cell=lambda queue: queue.name, narrowest=12),
        Column(title="LEVEL", cell=lambda queue: ", ".join(queue.levels), rank=3),
        Column(title="READY", cell=lambda queue: _number(queue.ready), right=True),
        Column(title="UNACKED", cell=lambda queue: _number(queue.unacked), rank=4, right=True),
        Column(title="OLDEST", cell=lambda queue: _seconds(queue.oldest_age), rank=1, right=True),
        Column(title="WAIT", cell=lambda queue: _seconds(queue.wait), rank=5, right=True),
        Column(title="IN/S", cell=lambda queue: _rate(queue.rate_in), rank=6, right=True),
        Column(title="OUT/S", cell=lambda queue: _rate(queue.rate_out), rank=7, right=True),
        Column(title="CONSUMERS", cell=_consumers, rank=2, right=True),
    )
    return FittedTable(columns, queues)


def _number(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else span(seconds)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:,.1f}"


def _consumers(queue: QueueStatus) -> Text:
    if queue.paused is not None:
        # Some may be about to leave it.
        return Text(f"paused, {queue.consumers:,} left" if queue.consumers else "paused", style="yellow")
    if queue.consumers == 0 and (queue.ready or queue.oldest_at):
        return Text("nobody", style="yellow")
    return Text(_number(queue.consumers))
