"""What is paused, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from celery_jobtrack.model.halt import Halt


def paused_table(halts: Iterable[Halt], now: datetime) -> FittedTable:
    """A table of what is paused."""
    columns = (
        Column(title="PAUSED", cell=lambda halt: halt.kind),
        Column(title="NAME", cell=lambda halt: halt.name, narrowest=12),
        Column(title="SINCE", cell=lambda halt: ago(halt.since, now)),
        Column(title="REASON", cell=lambda halt: halt.reason or "", rank=1),
    )
    return FittedTable(columns, halts)
