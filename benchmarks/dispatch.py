"""``dispatch``: many jobs sent at once, against Celery's loop and Celery's group."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from rich.console import Console
from rich.table import Table

from benchmarks import machine, results
from benchmarks.app import MEASURED
from benchmarks.case import Case
from benchmarks.figures import figure
from benchmarks.sender import LISTENED, WARM_UPS
from benchmarks.servers import Servers
from benchmarks.stores import opened
from benchmarks.worker import BrokenRunError
from celery_jobtrack.transport import filesystem
from tests.servers import ServerMissingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAME = "dispatch"
BROKERS = ("redis", "rabbitmq", "filesystem")
ONCE = 50_000
"""From so many jobs on, one round is enough: it takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to send the same jobs."""

    name: str
    about: str
    tracked: bool = False


LOOP = Way(name="loop", about="Celery alone, a loop of apply_async")
GROUP = Way(name="group", about="Celery alone, group(…).apply_async()")
MANY = Way(name="dispatch", about="tracked, group.dispatch(…)", tracked=True)
GROUP_LISTENED = Way(name=f"group{LISTENED}", about="the same, with listeners to the signals of publishing")
MANY_LISTENED = Way(name=f"dispatch{LISTENED}", about=GROUP_LISTENED.about, tracked=True)
WAYS = {
    "redis": (LOOP, GROUP, MANY, GROUP_LISTENED, MANY_LISTENED),
    "rabbitmq": (LOOP, GROUP, MANY),
    "filesystem": (LOOP, GROUP, MANY),
}
LIMITS = (
    ("redis", MANY, GROUP, 1 / 4),
    ("redis", MANY_LISTENED, GROUP, 1 / 2),
    ("rabbitmq", MANY, LOOP, 1.0),
    ("filesystem", MANY, LOOP, 1.0),
)
"""How much of another way's time one may take at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", nargs="+", default=BROKERS, choices=BROKERS, help="by default all")
    parser.add_argument("--jobs", nargs="+", type=int, default=[1000, 20_000, 100_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result of each broker and number of jobs.

    Raises:
        BrokenRunError: Jobs are missing, or a process failed.
    """
    with Servers() as servers:
        for broker in options.broker:
            for jobs in options.jobs:
                if broker != "redis" and jobs >= ONCE:
                    continue
                load = machine.load()
                rounds = 1 if jobs >= ONCE else options.rounds
                try:
                    measured = [_round(broker, jobs, servers) for _ in range(rounds)]
                except ServerMissingError as missing:
                    print(f"skipped: {broker}: {missing}", file=sys.stderr)
                    break
                summary = _summary(measured, broker)
                _show(broker, jobs, rounds, summary)
                if not options.dry:
                    settings = {"broker": broker, "jobs": jobs, "rounds": rounds}
                    document = results.document(settings, summary, servers=servers.programs(), load=load)
                    results.write(f"{NAME}-{broker}-{jobs}", document)


def latest() -> list[dict[str, Any]]:
    """The latest results, by broker and number of jobs."""

    def place(document: dict[str, Any]) -> tuple[int, int]:
        settings = document["settings"]
        return BROKERS.index(settings["broker"]), settings["jobs"]

    return sorted(results.read_all(NAME), key=place)


def _round(broker: str, jobs: int, servers: Servers) -> dict[str, dict[str, float]]:
    """Every way once, one after the other."""
    return {way.name: _measure(broker, way, jobs, servers) for way in WAYS[broker]}


def _measure(broker: str, way: Way, jobs: int, servers: Servers) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as name:
        folder = Path(name)
        case = _case(broker, way, servers, folder)
        command = [sys.executable, "-m", "benchmarks.sender", way.name, str(jobs)]
        done = subprocess.run(command, env=case.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokenRunError(f"{way.name} over {broker} failed:\n{done.stderr[-2000:]}")
        _check(case, jobs)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _case(broker: str, way: Way, servers: Servers, folder: Path) -> Case:
    marks = folder / "marks"
    marks.mkdir()
    conf: dict[str, Any] = {"task_ignore_result": True}
    if broker == "filesystem":
        conf["broker_url"] = f"filesystem:///{folder}/broker"
        conf["broker_transport"] = f"{filesystem.__name__}:Transport"
    else:
        conf["broker_url"] = servers["broker" if broker == "redis" else broker].new_database()
    if way.tracked:
        store = f"sqlite:///{folder}/jobs.db" if broker == "filesystem" else servers["redis"].new_database()
        conf["jobtrack_strategy"] = store
    return Case(marks=str(marks), conf=conf, tracked=way.tracked)


def _check(case: Case, jobs: int) -> None:
    """Every job must be in the broker, and in the store if it is tracked. Raises BrokenRunError."""
    with Celery(set_as_current=False) as app:
        app.conf.update(case.conf)
        with app.connection_for_read() as connection:
            queued = connection.default_channel.queue_declare(MEASURED, passive=True).message_count
    if queued != jobs:
        raise BrokenRunError(f"{queued} of {jobs} jobs are in the broker")
    if case.tracked:
        with opened(case.conf["jobtrack_strategy"]) as store:
            recorded = sum(store.counts().values())
        if recorded != jobs + WARM_UPS:
            raise BrokenRunError(f"{recorded} of {jobs + WARM_UPS} jobs are recorded")


def _summary(rounds: Sequence[dict[str, dict[str, float]]], broker: str) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for way in WAYS[broker]:
        ways[way.name] = {
            quantity: figure([each[way.name][quantity] for each in rounds]).dump()
            for quantity in ("wall_us", "cpu_us", "grown_mb")
        }
        for base in (LOOP, GROUP):
            ratios = [each[base.name]["wall_us"] / each[way.name]["wall_us"] for each in rounds]
            ways[way.name][f"times_{base.name}"] = figure(ratios).dump()
    limits = []
    for of, way, base, limit in LIMITS:
        if of == broker:
            ratio = ways[way.name][f"times_{base.name}"]["median"]
            limits.append({"about": f"{way.name} / {base.name}", "times": ratio, "limit": 1 / limit})
    return {"ways": ways, "limits": limits}


def _show(broker: str, jobs: int, rounds: int, summary: dict[str, Any]) -> None:
    title = f"{broker}: {jobs} jobs; medians (quartiles) of {rounds} rounds"
    table = Table(title=title, title_justify="left")
    table.add_column("way", no_wrap=True)
    for column in ("µs/job", "CPU µs/job", "x as fast as loop", "x as fast as group", "memory +MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, figures in summary["ways"].items():
        table.add_row(
            name,
            f"{figures['wall_us']['median']:.0f}",
            f"{figures['cpu_us']['median']:.0f}",
            _spread(figures["times_loop"]),
            _spread(figures["times_group"]),
            f"{figures['grown_mb']['median']:.0f}",
        )
    console = Console(width=120)
    console.print(table)
    for verdict in summary["limits"]:
        word = "[green]holds[/]" if verdict["times"] >= verdict["limit"] else "[red]does not hold[/]"
        console.print(
            f"{verdict['about']}: {verdict['times']:.2f} x, at least {verdict['limit']:.0f} x: {word}"
        )


def _spread(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
