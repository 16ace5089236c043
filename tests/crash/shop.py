"""The app of a round: tasks that write down that they ran."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery_jobtrack import TrackableTask
from celery_jobtrack.integration.running import running_of
from tests.crash import journal
from tests.crash.stage import open_shop

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from celery_jobtrack import JobTrack


def add_tasks(app: Celery, jobtrack: JobTrack, folder: Path) -> None:
    """The tasks; each is called with the seconds that it takes, and how often it fails before."""
    bodies = folder / journal.BODIES
    tracked = {"base": TrackableTask, "shared": False, "bind": True}

    def work(task: Any, seconds: float, failures: int) -> None:
        running = running_of(task)
        facts = {
            "job": task.request.id,
            "token": running.start.token if running is not None else None,
            "retries": task.request.retries,
        }
        journal.write(bodies, phase="begin", **facts)
        time.sleep(seconds)
        if task.request.retries < failures:
            journal.write(bodies, phase="end", how="retry", **facts)
            raise task.retry(exc=ConnectionError("try again"), countdown=0)
        journal.write(bodies, phase="end", how="end", **facts)

    for name, options in {
        "quick": {},
        "slow": {},
        "flaky": {"max_retries": 5},
        "late": {"acks_late": True, "reject_on_worker_lost": True},
    }.items():
        app.task(name=f"crash.{name}", **tracked, **options)(work)

    @app.task(name="crash.broken", **tracked)
    def broken(task: Any, seconds: float, failures: int) -> None:
        work(task, seconds, failures)
        raise ValueError("broken on purpose")


_shop = open_shop("crash", add_tasks)
if _shop is not None:
    app, jobtrack, _listeners = _shop
