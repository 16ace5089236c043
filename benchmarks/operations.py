"""``operations``: what one call of each store costs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks import results, steps
from benchmarks.clock import cost_of
from benchmarks.servers import Servers
from benchmarks.stores import NAMES, NoSuchStoreError, locate, opened
from celery_jobtrack.model.requests import JobQuery

if TYPE_CHECKING:
    import argparse

    from benchmarks.clock import Cost
    from celery_jobtrack.strategies.contract import Store

NAME = "operations"
QUESTIONS = 200
WARM_UP = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", nargs="+", default=NAMES, choices=NAMES, help="by default all")
    parser.add_argument("--jobs", type=int, default=2000, metavar="N", help="jobs in each loop")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result."""
    measured: dict[str, dict[str, Cost]] = {}
    skipped = {}
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as folder:
        for name in options.store:
            try:
                url, server = locate(name, servers, Path(folder))
            except NoSuchStoreError as reason:
                skipped[name] = str(reason)
                print(f"skipped: {name}: {reason}", file=sys.stderr)
                continue
            with opened(url) as store:
                _lives(store, WARM_UP, None)
                measured[name] = measure(store, options.jobs, None if server is None else server.pid)
        programs = servers.programs()
    _show(measured)
    if not options.dry:
        found = {
            "skipped": skipped,
            "microseconds": {
                name: {operation: cost.dump() for operation, cost in costs.items()}
                for name, costs in measured.items()
            },
        }
        results.write(
            NAME, results.document({"jobs": options.jobs}, found, servers=programs, load=options.load)
        )


def measure(store: Store, jobs: int, server: int | None) -> dict[str, Cost]:
    """The cost of each operation, from one process and one thread.

    Args:
        store: An open store.
        jobs: How many jobs each loop has.
        server: The pid of the store's server.
    """
    group = store.create_group(steps.new_group("benchmark"))
    costs = _lives(store, jobs, server)
    grouped = _lives(store, jobs, server, group_id=group.id)
    costs |= {f"{name}, in a group": cost for name, cost in grouped.items()}
    turns = range(QUESTIONS)
    costs["counts"] = cost_of(lambda _: store.counts(), turns, server=server)
    costs["group_status"] = cost_of(lambda _: store.group_status(group.id), turns, server=server)
    costs["jobs, first page"] = cost_of(lambda _: store.jobs(JobQuery()), turns, server=server)
    return costs


def _lives(store: Store, jobs: int, server: int | None, group_id: str | None = None) -> dict[str, Cost]:
    origins = steps.origins(jobs, group_id=group_id)
    starts = steps.start_requests(origins)
    return {
        "enqueue": cost_of(store.enqueue, steps.enqueue_requests(origins), server=server),
        "start": cost_of(store.start, starts, server=server),
        "finish": cost_of(store.finish, map(steps.finish_request, starts), server=server),
    }


def _show(measured: dict[str, dict[str, Cost]]) -> None:
    if not measured:
        return
    title = "microseconds for one call: on the clock (CPU of the caller + CPU of the server)"
    table = Table(title=title, title_justify="left")
    table.add_column("operation")
    for name in measured:
        table.add_column(name, justify="right")
    for operation in next(iter(measured.values())):
        costs = [found[operation] for found in measured.values()]
        table.add_row(operation, *(f"{cost.wall:.0f} ({cost.cpu:.0f} + {cost.server:.0f})" for cost in costs))
    Console(width=140).print(table)
