"""``chords``: many jobs and one that follows when all have ended, against Celery's chord."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine, results
from benchmarks.figures import figure
from benchmarks.following import measure
from benchmarks.servers import Servers
from benchmarks.variants import VARIANTS
from tests.servers import ServerMissingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

NAME = "chords"
STORES = ("redis", "postgresql")
ONCE = 50_000
"""From so many members on, one round is enough: it takes minutes."""
LARGEST = {"postgresql": 10_000}
"""A chord over SQL is polled for by a task that asks for every member, so larger ones are left out."""
QUANTITIES = ("dispatch_s", "dispatch_cpu_s", "end_to_end_s", "follow_ms", "grown_mb")
COMPARED = ("dispatch_s", "dispatch_cpu_s", "end_to_end_s", "follow_ms")
CHORD, BATCH = "chord", "batch"
WAYS = {store: {CHORD: f"{store}-backend", BATCH: f"jobtrack-{store}"} for store in STORES}
"""The variant of each: one with a result backend, one with a store."""

SETTINGS = {
    "pool": "prefork, 2 children, at work while the members are sent",
    "broker": "Redis on the same machine, append-only file without fsync",
    "postgresql": "on the same machine, fsync off, autovacuum off",
    "chord": "results kept, body immutable, result_chord_join_timeout raised",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", nargs="+", default=STORES, choices=STORES, help="by default both")
    parser.add_argument("--members", nargs="+", type=int, default=[1000, 10_000, 100_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result of each store and number of members.

    Raises:
        BrokenRunError: Members are missing, what follows did not run just once, or a process failed.
    """
    with Servers() as servers:
        for store in options.store:
            for members in options.members:
                if members > LARGEST.get(store, members):
                    continue
                load = machine.load()
                rounds = 1 if members >= ONCE else options.rounds
                try:
                    measured = [_round(store, members, number, servers) for number in range(rounds)]
                except ServerMissingError as missing:
                    print(f"skipped: {store}: {missing}", file=sys.stderr)
                    break
                summary = _summary(measured)
                _show(store, members, rounds, summary)
                if not options.dry:
                    found = {**summary, "rounds": measured}
                    settings = {"store": store, "members": members, "rounds": rounds, **SETTINGS}
                    document = results.document(settings, found, servers=servers.programs(), load=load)
                    results.write(f"{NAME}-{store}-{members}", document)


def latest() -> list[dict[str, Any]]:
    """The latest results, by store and number of members."""

    def place(document: dict[str, Any]) -> tuple[int, int]:
        settings = document["settings"]
        return STORES.index(settings["store"]), settings["members"]

    return sorted(results.read_all(NAME), key=place)


def _round(store: str, members: int, number: int, servers: Servers) -> dict[str, dict[str, float]]:
    """Every way once, one after the other; the next round begins with the other one."""
    ways = list(WAYS[store].items())
    measured = {}
    for way, variant in ways if number % 2 == 0 else reversed(ways):
        measured[way] = found = measure(VARIANTS[variant], members, servers)
        print(
            f"{number + 1} {store} {members} {way}: dispatched in {found['dispatch_s']:.2f} s, "
            f"followed after {found['end_to_end_s']:.2f} s, {found['follow_ms']:.1f} ms after the last",
            file=sys.stderr,
        )
    return measured


def _summary(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    return {
        "ways": {
            way: {name: figure([each[way][name] for each in rounds]).dump() for name in QUANTITIES}
            for way in (CHORD, BATCH)
        },
        "batch_to_chord": {
            name: figure([each[BATCH][name] / each[CHORD][name] for each in rounds]).dump()
            for name in COMPARED
        },
    }


def _show(store: str, members: int, rounds: int, summary: Mapping[str, Any]) -> None:
    title = f"{store}: {members} members; medians (quartiles) of {rounds} rounds"
    table = Table(title=title, title_justify="left")
    table.add_column("way", no_wrap=True)
    for column in ("dispatch s", "its CPU s", "to what follows s", "last to it ms", "memory +MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for way, figures in summary["ways"].items():
        table.add_row(way, *(_spread(figures[name]) for name in QUANTITIES))
    ratios = summary["batch_to_chord"]
    table.add_row("batch / chord", *(_spread(ratios[name]) for name in COMPARED), "")
    Console(width=150).print(table)


def _spread(found: Mapping[str, float]) -> str:
    digits = 0 if found["median"] >= 100 else 2
    return "{median:.{0}f} ({low:.{0}f} to {high:.{0}f})".format(digits, **found)
