"""Several workers at the jobs of one case: what they do to each other in the store."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cpu, marks, recorded
from benchmarks.worker import consume, produce, running

if TYPE_CHECKING:
    from benchmarks.servers import Servers
    from benchmarks.variants import Variant


def throughput(
    variant: Variant, servers: Servers, *, workers: int, children: int, warm_up: int, jobs: int
) -> float:
    """Jobs for each second that some workers run together, from the first body to the last.

    Args:
        variant: Which jobs.
        servers: Where they find their broker and their store.
        workers: How many.
        children: How many pool children each has.
        warm_up: How many jobs run before.
        jobs: How many are measured.

    Raises:
        BrokenRunError: Jobs are missing, or a process failed.
    """
    broker = servers["broker"]
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        url = "" if variant.server is None else servers[variant.server].new_database()
        case = variant.case(broker=broker.new_database(), url=url, folder=folder)
        produce(case, warm_up, jobs)
        nodes = [f"measured-{number}@benchmarks" for number in range(workers)]
        crew = [stack.enter_context(running(case, folder, node=node, children=children)) for node in nodes]
        crew[0].warm(warm_up)
        for worker in crew:
            cpu.when_idle(worker.pid)
        marks.reset(Path(case.marks))
        consume(case, nodes)
        runs = crew[0].complete(jobs)
        for worker in crew:
            cpu.when_idle(worker.pid)
        recorded.check(case, warm_up + jobs)
    return (jobs - 1) / runs.seconds
