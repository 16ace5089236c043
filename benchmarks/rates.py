"""``rates``: how evenly a global rate spaces the starts of four workers that have other jobs, too."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.app import INTERVAL, RATE, WARM_UP, make_app
from benchmarks.servers import Servers
from benchmarks.variants import VARIANTS
from benchmarks.worker import BrokenRunError, running
from celery_jobtrack import JobTrack
from celery_jobtrack.model.state import JobState
from tests.servers import ServerMissingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from benchmarks.case import Case

NAME = "rates"
STORES = ("redis", "postgresql", "sqlite")
WORKERS = 4
TOLERANCE = 0.1
"""Share of the interval by which a gap may be off."""
OTHERS_PER_SECOND = 40
"""Jobs without a rate that the same workers run meanwhile."""
SECONDS_MORE = 60.0
"""For what the rate alone takes, this long on top."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", nargs="+", default=STORES, choices=STORES, help="by default all")
    parser.add_argument("--jobs", type=int, default=80, metavar="N", help="with the rate")
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Measure, print, and keep the result.

    Raises:
        BrokenRunError: Jobs are missing, or a process failed.
    """
    found = {}
    with Servers() as servers:
        for store in options.store:
            try:
                found[store] = _gaps(store, options.jobs, servers)
            except ServerMissingError as missing:
                print(f"skipped: {store}: {missing}", file=sys.stderr)
        programs = servers.programs()
    _show(found)
    if not options.dry:
        settings = {"jobs": options.jobs, "rate": RATE, "workers": WORKERS, "others": OTHERS_PER_SECOND}
        document = results.document(settings, {"found": found}, servers=programs, load=options.load)
        results.write(NAME, document)


def _gaps(store: str, jobs: int, servers: Servers) -> dict[str, float]:
    variant = VARIANTS[f"jobtrack-{store}"]
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as made, ExitStack() as stack:
        folder = Path(made)
        url = servers[store].new_database() if variant.server is not None else ""
        case = variant.case(broker=servers["broker"].new_database(), url=url, folder=folder)
        for number in range(WORKERS):
            node = f"rated-{number}@benchmarks"
            stack.enter_context(running(case, folder, node=node, children=1))
        starts = _starts(case, jobs)
    gaps = [(after - before) for before, after in pairwise(starts)]
    near = [gap for gap in gaps if abs(gap - INTERVAL) <= TOLERANCE * INTERVAL]
    return {
        "shortest_ms": min(gaps) * 1e3,
        "median_ms": statistics.median(gaps) * 1e3,
        "longest_ms": max(gaps) * 1e3,
        "within": len(near) / len(gaps),
        "per_minute": 60.0 * len(gaps) / (starts[-1] - starts[0]),
    }


def _starts(case: Case, jobs: int) -> list[float]:
    """When the jobs with the rate started, by the store's clock. Raises BrokenRunError."""
    app = make_app(case)
    jobtrack = JobTrack.of(app)
    rated, other = app.tasks["benchmarks.rated"], app.tasks["benchmarks.noop"]
    sent = [rated.apply_async(queue=WARM_UP).id for _ in range(jobs)]
    others = 0
    deadline = time.monotonic() + jobs * INTERVAL + SECONDS_MORE
    while jobtrack.runtime.store.counts().get(JobState.SUCCESS, 0) < jobs + others:
        if time.monotonic() > deadline:
            raise BrokenRunError(f"not all jobs have run: {jobtrack.runtime.store.counts()}")
        if jobtrack.runtime.store.job(sent[-1]).state is not JobState.SUCCESS:
            other.apply_async(queue=WARM_UP)
            others += 1
        time.sleep(1 / OTHERS_PER_SECOND)
    return sorted(jobtrack.runtime.store.job(job_id).started_at.timestamp() for job_id in sent)


def _show(found: Mapping[str, Mapping[str, Any]]) -> None:
    title = f"{RATE} over {WORKERS} workers: milliseconds from start to start"
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(["store", "shortest", "median", "longest", "within 10 %", "per minute"]):
        table.add_column(column, justify="right" if number else "left")
    for store, gaps in found.items():
        times = (f"{gaps[name]:.0f}" for name in ("shortest_ms", "median_ms", "longest_ms"))
        table.add_row(store, *times, f"{gaps['within']:.0%}", f"{gaps['per_minute']:.1f}")
    Console(width=120).print(table)
