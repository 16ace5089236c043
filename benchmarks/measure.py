"""One measurement: a fresh broker and store, jobs published beforehand, a worker that runs them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import cpu, recorded
from benchmarks.worker import produce, running

if TYPE_CHECKING:
    from benchmarks.case import Case
    from benchmarks.servers import Servers
    from benchmarks.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the jobs of one variant cost in one round, in microseconds for each job."""

    throughput: float
    """Jobs for each second, from the first body to the last."""
    worker_cpu: float
    """Of the worker's main process and its children."""
    broker_cpu: float
    store_cpu: float
    """Of the server where results or jobs are recorded; 0 without one."""
    publish_wall: float
    publish_cpu: float

    def dump(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def measure(variant: Variant, servers: Servers, *, warm_up: int, jobs: int) -> Measurement:
    """Measure a variant once.

    Args:
        variant: What to measure.
        servers: Where it finds its broker and its store.
        warm_up: How many jobs run before.
        jobs: How many are measured.

    Raises:
        BrokenRunError: Jobs are missing, or a process failed.
        ServerMissingError: A server that it needs is not installed.
    """
    broker = servers["broker"]
    store = None if variant.server is None else servers[variant.server]
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as name:
        folder = Path(name)
        url = "" if store is None else store.new_database()
        case = variant.case(broker=broker.new_database(), url=url, folder=folder)
        if case.django is not None:
            _migrate(case)
        publish = produce(case, warm_up, jobs)
        with running(case, folder, variant.options) as worker:
            worker.warm(warm_up)
            before = [cpu.when_idle(worker.pid), *_servers(broker, store)]
            worker.begin()
            runs = worker.complete(jobs)
            after = [cpu.when_idle(worker.pid), *_servers(broker, store)]
        recorded.check(case, warm_up + jobs)
    worker_cpu, broker_cpu, store_cpu = (
        (late - early) / jobs * 1e6 for early, late in zip(before, after, strict=True)
    )
    return Measurement(
        throughput=(jobs - 1) / runs.seconds,
        worker_cpu=worker_cpu,
        broker_cpu=broker_cpu,
        store_cpu=store_cpu,
        publish_wall=publish["wall_us"],
        publish_cpu=publish["cpu_us"],
    )


def _servers(broker: Any, store: Any) -> list[float]:
    return [cpu.seconds(broker.pid), 0.0 if store is None else cpu.seconds(store.pid)]


def _migrate(case: Case) -> None:
    command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
    subprocess.run(command, env=case.environment(), check=True)
