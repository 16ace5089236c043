"""What two workers that run one group cost each other, against jobs without a group."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks import crew
from benchmarks.group_row import SERVERS, pairs, rows
from benchmarks.variants import VARIANTS

if TYPE_CHECKING:
    import argparse

    from benchmarks.servers import Servers

__all__ = ["measure", "rows"]

WARM_UP = 50
CREWS = ((2, 8), (2, 4))
"""Workers, and the pool children of each."""


def measure(options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Each pair of rates is measured in turn, round by round."""
    found = {}
    for server, waits in SERVERS.items():
        alone, group = (
            replace(VARIANTS[name], server=server)
            for name in ("jobtrack-postgresql", "jobtrack-postgresql-group")
        )
        for workers, children in CREWS:

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
            found[name] = pairs(name, run, options.worker_rounds)
    return found
