"""``workers``: all variants in turn, round by round, so that each is compared within its round."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from benchmarks import gate, plot, report, results
from benchmarks.figures import summarise
from benchmarks.measure import measure
from benchmarks.servers import Servers
from benchmarks.variants import BARE, VARIANTS
from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.strategies.resolve import resolve
from tests.servers import ServerMissingError

if TYPE_CHECKING:
    import argparse

    from benchmarks.variants import Variant

NAME = "workers"
COMPARED = [variant.name for variant in VARIANTS.values() if variant.compared]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="rounds (default 5; the gate: 9)")
    parser.add_argument("--jobs", type=int, default=3000, metavar="N", help="jobs measured in each run")
    parser.add_argument("--warm-up", type=int, default=400, metavar="N", help="jobs run before")
    parser.add_argument("--only", nargs="+", choices=COMPARED, metavar="VARIANT", help="beside bare")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result.

    Raises:
        BrokenRunError: Jobs are missing, or a process failed.
    """
    with Servers() as servers:
        chosen, skipped = _choose(options.only, servers)
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(1, options.pairs + 1):
            measured = {}
            for variant in chosen:
                found = measure(variant, servers, warm_up=options.warm_up, jobs=options.jobs)
                measured[variant.name] = found.dump()
                print(
                    f"{number}/{options.pairs} {variant.name:26} {found.throughput:7.0f} jobs/s "
                    f"{found.worker_cpu:7.0f} µs CPU/job",
                    file=sys.stderr,
                )
            rounds.append(measured)
        programs = servers.programs()
    summary = summarise(rounds, BARE)
    found = {
        "skipped": skipped,
        "summary": summary,
        "gate": [verdict.dump() for verdict in gate.judge(summary)],
        "rounds": rounds,
    }
    document = results.document(_settings(options), found, servers=programs, load=options.load)
    report.show(document)
    if not options.dry:
        results.write(NAME, document)
        plot.draw(document, results.FOLDER / f"{NAME}.svg")


def _choose(only: list[str] | None, servers: Servers) -> tuple[list[Variant], dict[str, str]]:
    """The variants that can be measured here, and why the others cannot."""
    chosen, skipped = [], {}
    names = COMPARED if only is None else [name for name in COMPARED if name in {BARE, *only}]
    for variant in map(VARIANTS.__getitem__, names):
        try:
            url = "" if variant.server is None else servers[variant.server].new_database()
            if variant.store is not None:
                resolve(variant.store.format(url=url, folder="unused"), {}, namespace="default")
        except ServerMissingError as missing:
            skipped[variant.name] = str(missing)
        except ConfigurationError:
            skipped[variant.name] = "this version of celery-jobtrack has no store of this kind"
        else:
            chosen.append(variant)
            continue
        print(f"skipped: {variant.name}: {skipped[variant.name]}", file=sys.stderr)
    return chosen, skipped


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "rounds": options.pairs,
        "jobs": options.jobs,
        "warm_up": options.warm_up,
        "pool": "prefork, 2 children, prefetch multiplier 4 (Celery's default)",
        "broker": "Redis on the same machine, append-only file without fsync",
        "postgresql": "on the same machine, fsync off, autovacuum off",
        "task": "does nothing, takes no arguments; celery-jobtrack with its default settings",
    }
