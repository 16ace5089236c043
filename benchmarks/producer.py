"""Publishes the jobs of one case beforehand: ``python -m benchmarks.producer WARM_UP JOBS``; prints JSON."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.app import MEASURED, WARM_UP, make_app
from benchmarks.case import Case

if TYPE_CHECKING:
    from celery import Celery


def main() -> None:
    warm_up, jobs = map(int, sys.argv[1:])
    case = Case.here()
    app = make_app(case)
    publish(app, case, WARM_UP, warm_up)
    wall, cpu = time.perf_counter(), time.process_time()
    publish(app, case, MEASURED, jobs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall_us": wall / jobs * 1e6, "cpu_us": cpu / jobs * 1e6}))


def publish(app: Celery, case: Case, queue: str, jobs: int) -> None:
    """Send ``jobs`` jobs to a queue, one by one, as an application does."""
    task = app.tasks["benchmarks.noop"]
    with ExitStack() as stack:
        options: dict[str, Any] = {"queue": queue}
        if case.grouped:
            from celery_jobtrack import JobTrack

            group = JobTrack.of(app).groups.create(queue)
            stack.enter_context(group.filling())
            options["job_group"] = group
        for number in range(jobs):
            # Only where a key is made of them do jobs have arguments.
            task.apply_async((f"{queue} {number}",) if case.lock is not None else (), **options)


if __name__ == "__main__":
    main()
