"""``groups``: what a large group costs: its status, its end, its members' ends, its chunks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import group_status, results
from benchmarks.servers import Servers

if TYPE_CHECKING:
    import argparse

PARTS = {
    "status": "status() of a group with many members, by what they do",
    "completion": "from the last member's end to the completed event, worker with two children, no beat",
    "row": "one group finished by many processes in the store alone, medians of interleaved rounds",
    "crew": "one group run by two workers, medians of interleaved rounds",
    "chunks": "recording chunks of jobs, medians of interleaved rounds",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="by default all")
    parser.add_argument("--stores", nargs="+", choices=group_status.STORES, help="of status, by default all")
    parser.add_argument("--members", type=int, default=100_000, metavar="N", help="of the large group")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of row and chunks")
    parser.add_argument("--worker-rounds", type=int, default=5, metavar="N", help="of crew")
    parser.add_argument("--jobs", type=int, default=3000, metavar="N", help="of row and crew, in each round")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result of each part.

    Raises:
        BrokenRunError: Groups or jobs are missing, or a process failed.
    """
    for part in options.parts:
        measured = import_module(f"benchmarks.group_{part}")
        with Servers() as servers:
            found = measured.measure(options, servers)
            programs = servers.programs()
        _show(PARTS[part], *measured.rows(found))
        if not options.dry:
            settings = {
                name: getattr(options, name) for name in ("members", "rounds", "worker_rounds", "jobs")
            }
            results.write(
                f"groups-{part}",
                results.document(settings, {"found": found}, servers=programs, load=options.load),
            )


def _show(title: str, columns: list[str], lines: list[list[Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    Console(width=140).print(table)
