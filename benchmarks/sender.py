"""Sends the jobs of one case in one way: ``python -m benchmarks.sender WAY JOBS``; prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from celery import group, signals

from benchmarks.app import MEASURED, WARM_UP, make_app
from benchmarks.case import Case
from benchmarks.memory import Growth

if TYPE_CHECKING:
    from celery import Celery

WARM_UPS = 200
LISTENED = "-listened"
"""What the name of a way ends in if somebody listens to the signals of publishing."""


def main() -> None:
    way, jobs = sys.argv[1], int(sys.argv[2])
    case = Case.here()
    app = make_app(case)
    heard: list[str] = []

    def listen(sender: str, **_: Any) -> None:
        heard[:] = [sender]

    if way.endswith(LISTENED):
        signals.before_task_publish.connect(listen)
        signals.after_task_publish.connect(listen)
    send(app, way.removesuffix(LISTENED), WARM_UP, WARM_UPS)
    growth, wall, cpu = Growth(), time.perf_counter(), time.process_time()
    send(app, way.removesuffix(LISTENED), MEASURED, jobs)
    found = {
        "wall_us": (time.perf_counter() - wall) / jobs * 1e6,
        "cpu_us": (time.process_time() - cpu) / jobs * 1e6,
        "grown_mb": growth.megabytes(),
    }
    if bool(heard) is not way.endswith(LISTENED):
        raise SystemExit("the listeners heard what they should not, or did not hear what they should")
    print(json.dumps(found))


def send(app: Celery, way: str, queue: str, jobs: int) -> None:
    """Send jobs that do nothing."""
    task = app.tasks["benchmarks.noop"]
    if way == "loop":
        for _ in range(jobs):
            task.apply_async(queue=queue)
    elif way == "group":
        group(task.s().set(queue=queue) for _ in range(jobs)).apply_async()
    else:
        from celery_jobtrack import JobTrack

        made = JobTrack.of(app).groups.create(queue)
        made.dispatch(task.s().set(queue=queue) for _ in range(jobs))


if __name__ == "__main__":
    main()
