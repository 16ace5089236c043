"""What many processes that finish one group cost each other, against jobs without a group."""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks import contention, crew
from benchmarks.variants import VARIANTS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.servers import Servers

LIMIT = 0.8
"""Of the rate without a group."""
WARM_UP = 50
SERVERS = {"postgresql-durable": "waits for the disk", "postgresql": "does not"}
CREWS = ((2, 8), (2, 4))
"""Workers, and the pool children of each."""
PROCESSES = (8, 16)


def measure(options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Each pair of rates is measured in turn, round by round."""
    found = {}
    for server, waits in SERVERS.items():
        for processes in PROCESSES:
            url = servers[server].new_database()
            contention.rate(url, processes=processes, jobs=WARM_UP, grouped=False)
            jobs = options.jobs // processes

            def store_alone(
                grouped: bool, url: str = url, processes: int = processes, jobs: int = jobs
            ) -> float:
                return contention.rate(url, processes=processes, jobs=jobs, grouped=grouped)

            name = f"the store alone, {processes} processes; PostgreSQL {waits}"
            found[name] = _pairs(name, store_alone, options.rounds)
        for workers, children in CREWS:
            alone, group = (
                replace(VARIANTS[name], server=server)
                for name in ("jobtrack-postgresql", "jobtrack-postgresql-group")
            )

            def run(grouped: bool, variants: Any = (alone, group), size: Any = (workers, children)) -> float:
                return crew.throughput(
                    variants[grouped],
                    servers,
                    workers=size[0],
                    children=size[1],
                    warm_up=WARM_UP * size[0],
                    jobs=options.jobs,
                )

            name = f"{workers} workers with {children} children each; PostgreSQL {waits}"
            found[name] = _pairs(name, run, options.worker_rounds)
    return found


def _pairs(name: str, rate: Callable[[bool], float], rounds: int) -> dict[str, Any]:
    measured = []
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        pair = {grouped: rate(grouped) for grouped in order}
        measured.append((pair[False], pair[True]))
        print(
            f"{number + 1}/{rounds} {name}: {pair[False]:.0f} without, {pair[True]:.0f} in a group",
            file=sys.stderr,
        )
    without, within = (statistics.median(rates) for rates in zip(*measured, strict=True))
    return {
        "without": round(without),
        "in_group": round(within),
        "ratio": round(statistics.median(b / a for a, b in measured), 3),
        "rounds": [[round(a), round(b)] for a, b in measured],
    }


def rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table's columns and lines."""
    columns = ["one group", "jobs/s without", "in a group", f"ratio (limit {LIMIT})"]
    return columns, [
        [name, str(each["without"]), str(each["in_group"]), f"{each['ratio']:.2f}"]
        for name, each in found.items()
    ]
