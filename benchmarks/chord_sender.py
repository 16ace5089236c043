"""Sends many jobs and the one that follows them: ``python -m benchmarks.chord_sender JOBS``; prints JSON.

As a batch where the case is tracked, else as a chord of Celery's. A worker must be running: a small one warms
up both sides before.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from celery import chord

from benchmarks.app import WARM_UP, make_app
from benchmarks.case import Case
from benchmarks.memory import Growth
from tests.waiting import wait_until

if TYPE_CHECKING:
    from celery import Celery

WARM_UPS = 200
WARM_UP_SECONDS = 120.0


def main() -> None:
    jobs = int(sys.argv[1])
    case = Case.here()
    app = make_app(case)
    send(app, case, WARM_UPS)
    wait_until(Path(str(case.followed)).exists, WARM_UP_SECONDS)
    growth, began, cpu = Growth(), time.monotonic_ns(), time.process_time()
    sent = send(app, case, jobs)
    found = {
        "began_ns": began,
        "dispatch_s": (time.monotonic_ns() - began) / 1e9,
        "dispatch_cpu_s": time.process_time() - cpu,
        "grown_mb": growth.megabytes(),
    }
    del sent
    print(json.dumps(found))


def send(app: Celery, case: Case, jobs: int) -> object:
    """Send jobs that do nothing, and what follows them; gives what their sender holds of them."""
    # Immutable: else the chord's message carries all the members' results, which a batch's never does.
    follow = app.tasks["benchmarks.follow"].si().set(queue=WARM_UP)
    task = app.tasks["benchmarks.noop"]
    members = (task.si().set(queue=WARM_UP) for _ in range(jobs))
    if not case.tracked:
        return chord(members, follow).apply_async()
    from celery_jobtrack import JobTrack

    return JobTrack.of(app).batch(members).then(follow).dispatch()


if __name__ == "__main__":
    main()
