"""The whole at one glance, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from celery_jobtrack.cli.facts import facts
from celery_jobtrack.cli.show_paused import paused_table
from celery_jobtrack.cli.styles import state_text
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from enum import Enum

    from rich.console import RenderableType

    from celery_jobtrack.model.event import EventCounts


def overview(found: Mapping[str, Any]) -> Group:
    """What ``status`` found."""
    now, workers = found["now"], found["workers"]
    version = found["schema_version"]
    parts: list[RenderableType] = [
        facts(
            [
                ("store", found["store"]),
                ("schema", None if version is None else f"version {version}"),
                ("namespace", found["namespace"]),
                ("jobs", _counts(found["jobs"])),
                ("groups", _counts(found["groups"])),
                ("events", _events(found["events"])),
                ("workers", Text("none alive", style="yellow") if not workers else f"{len(workers):,} alive"),
            ]
        )
    ]
    if found["paused"]:
        parts += [Text(), paused_table(found["paused"], now)]
    if workers:
        parts += [Text(), _workers_table(workers, now)]
    if found["store"] == "memory://":
        parts += [Text(), Text("A store in memory is seen by its own process only.", style="yellow")]
    return Group(*parts)


def _counts(counts: Mapping[Enum, int]) -> Text:
    total = sum(counts.values())
    said = Text(f"{total:,}")
    for number, (state, count) in enumerate((s, c) for s, c in counts.items() if c):
        said.append("  =  " if number == 0 else "  ")
        said.append(f"{count:,} ").append_text(state_text(state))
    return said


def _events(events: EventCounts) -> Text:
    said = Text(f"{events.pending:,} to be delivered")
    if events.undeliverable:
        said.append(f", {events.undeliverable:,} undeliverable", style="red")
    return said


def _workers_table(workers: Any, now: datetime) -> FittedTable:
    columns = (
        Column(title="WORKER", cell=lambda worker: worker.name, narrowest=24),
        Column(title="PID", cell=lambda worker: worker.pid, right=True),
        Column(title="HEARTBEAT", cell=lambda worker: ago(worker.heartbeat_at, now)),
        Column(title="STARTED", cell=lambda worker: ago(worker.registered_at, now)),
    )
    return FittedTable(columns, workers)
