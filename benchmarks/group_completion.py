"""How long after the last member's end a listener hears that its group has completed, without beat."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.app import WARM_UP, make_app
from benchmarks.variants import VARIANTS
from benchmarks.worker import BrokenRunError, running
from tests.servers import ServerMissingError
from tests.waiting import wait_until

if TYPE_CHECKING:
    import argparse

    from benchmarks.servers import Servers

STORES = ("redis", "postgresql")
LIMIT = 100.0
"""Milliseconds, the 99th percentile."""
GROUPS = 200
MEMBERS = 5
SECONDS = 120.0


def measure(_options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """With a real worker; the groups wait in the queue when it starts."""
    found: dict[str, Any] = {}
    for name in STORES:
        try:
            found[name] = _percentiles(_delays(name, servers))
        except ServerMissingError as missing:
            print(f"skipped: {name}: {missing}", file=sys.stderr)
    return found


def _delays(name: str, servers: Servers) -> list[float]:
    """Milliseconds, for each group. Raises BrokenRunError."""
    variant = VARIANTS[f"jobtrack-{name}"]
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as made:
        folder = Path(made)
        heard = folder / "heard"
        case = variant.case(
            broker=servers["broker"].new_database(),
            url=servers[name].new_database(),
            folder=folder,
            heard=str(heard),
        )
        from celery_jobtrack import JobTrack

        app = make_app(case)
        jobtrack = JobTrack.of(app)
        task = app.tasks["benchmarks.noop"]
        groups = [jobtrack.groups.create("benchmark") for _ in range(GROUPS)]
        for group in groups:
            with group.filling():
                for _ in range(MEMBERS):
                    task.apply_async(queue=WARM_UP, job_group=group)
        with running(case, folder):
            try:
                wait_until(lambda: heard.exists() and len(heard.read_text().split("\n")) > GROUPS, SECONDS)
            except AssertionError:
                raise BrokenRunError("not all groups have completed") from None
        told = dict(line.split() for line in heard.read_text().splitlines())
        delays = []
        for group in groups:
            ends = [job.finished_at for job in jobtrack.runtime.store.members(group.id, MEMBERS).items]
            delays.append((float(told[group.id]) - max(ends).timestamp()) * 1e3)
    return delays


def _percentiles(delays: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return {
        name: round(value, 2) for name, value in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(delays)))
    }


def rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table's columns and lines."""
    columns = ["store", "p50 ms", f"p99 (limit {LIMIT:g})", f"worst of {GROUPS}"]
    return columns, [
        [name, *(f"{took[q]:.1f}" for q in ("p50", "p99", "max"))] for name, took in found.items()
    ]
