"""Results as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.variants import BARE, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Mapping


def show(document: Mapping[str, Any]) -> None:
    """Print the result of ``workers``."""
    console = Console(width=170)
    settings = document["settings"]
    title = f"medians (quartiles) of {settings['rounds']} rounds of {settings['jobs']} jobs"
    table = Table(title=title, title_justify="left")
    table.add_column("variant", no_wrap=True)
    columns = ["jobs/s", "x bare", "worker CPU µs/job", "x bare", "store µs/job", "broker µs/job"]
    for column in [*columns, "publish µs (CPU)"]:
        table.add_column(column, justify="right", no_wrap=True)
    for name, figures in document["summary"].items():
        table.add_row(name, *_cells(name, figures))
    console.print(table)
    for verdict in document["gate"]:
        word = "[green]holds[/]" if verdict["holds"] else "[red]does not hold[/]"
        console.print(f"{verdict['about']}: {verdict['measured']:.2f}, limit {verdict['limit']:.2f}: {word}")
    for name, reason in document["skipped"].items():
        console.print(f"[yellow]skipped:[/] {name} ({VARIANTS[name].about}): {reason}")


def _cells(name: str, figures: Mapping[str, Any]) -> list[str]:
    def median(quantity: str) -> str:
        return f"{figures[quantity]['median']:.0f}"

    def ratio(quantity: str) -> str:
        found = figures.get(f"{quantity}_ratio")
        if found is None or name == BARE:
            return ""
        return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"

    return [
        median("throughput"),
        ratio("throughput"),
        median("worker_cpu"),
        ratio("worker_cpu"),
        median("store_cpu"),
        median("broker_cpu"),
        f"{median('publish_wall')} ({median('publish_cpu')})",
    ]
