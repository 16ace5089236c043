"""The app of a round: tasks that write down that they ran, listeners that write down what they heard.

Its folder, servers and settings come from the environment, so that the workers and the round share it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from celery_jobtrack import JobTrack, TrackableTask, events
from celery_jobtrack.integration.running import running_of
from celery_jobtrack.strategies import contract
from tests.crash import journal

FOLDER = "JOBTRACK_CRASH_FOLDER"
SETTINGS = "JOBTRACK_CRASH_SETTINGS"
LISTENING = "JOBTRACK_CRASH_LISTENING"

LEASE = 3.0
HOLD = 6.0
"""Seconds; of an event's claim and of a filling's hold, which no setting shortens."""

QUICKENED = {
    "broker_connection_retry_on_startup": True,
    "task_ignore_result": True,
    "jobtrack_heartbeat": 0.5,
    "jobtrack_lease": LEASE,
    "jobtrack_check_interval": 0.5,
    "jobtrack_lost_message_after": 2,
    "jobtrack_time_to_check": 1,
    "jobtrack_store_wait": 30,
}


def spool_folder(folder: Path) -> Path:
    """Where the processes of a round keep what they cannot record."""
    return folder / "spool"


def make_app(folder: Path, settings: dict[str, Any]) -> tuple[Celery, JobTrack]:
    """The app with its tasks, and its tracking.

    Args:
        folder: Of the round.
        settings: Where broker and store are.
    """
    app = Celery("crash", set_as_current=False)
    app.conf.update({**QUICKENED, **settings, "jobtrack_spool_dir": str(spool_folder(folder))})
    jobtrack = JobTrack(app)
    _add_tasks(app, folder / journal.BODIES)
    app.finalize()
    return app, jobtrack


def _add_tasks(app: Celery, bodies: Path) -> None:
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


def listen(path: Path, seconds: float) -> tuple[object, ...]:
    """Connect listeners that take ``seconds``, and write down when they are called and when they are done."""

    def hear(kind: str, group: Any, event_id: str, generation: int) -> None:
        facts = {"kind": kind, "group": group.id, "event": event_id, "generation": generation}
        journal.write(path, phase="begin", **facts)
        time.sleep(seconds)
        journal.write(path, phase="end", **facts)

    def on_started(sender: Any, *, group: Any, event_id: str, generation: int, **_: Any) -> None:
        hear("started", group, event_id, generation)

    def on_completed(sender: Any, *, group: Any, event_id: str, generation: int, **_: Any) -> None:
        hear("completed", group, event_id, generation)

    events.job_group_started.connect(on_started)
    events.job_group_completed.connect(on_completed)
    return on_started, on_completed


if FOLDER in os.environ:
    contract.EVENT_CLAIM = HOLD  # before a store is imported, which takes it from there
    _folder = Path(os.environ[FOLDER])
    app, jobtrack = make_app(_folder, json.loads(os.environ[SETTINGS]))
    app.set_current()
    _listeners = listen(_folder / journal.LISTENERS, float(os.environ[LISTENING]))
