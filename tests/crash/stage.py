"""What the apps of such suites have in common: settings that make all quick, and listeners that write down
what they heard.

Folder, servers and settings come from the environment, so that the workers and the round share them.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from celery_jobtrack import JobTrack, events
from celery_jobtrack.strategies import contract
from tests.crash import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    AddTasks = Callable[[Celery, JobTrack, Path], None]
    """Adds the tasks of a suite to its app; the folder is where they write."""

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


def make_app(
    name: str, folder: Path, settings: dict[str, Any], add_tasks: AddTasks
) -> tuple[Celery, JobTrack]:
    """An app with its tasks, and its tracking.

    Args:
        name: Of the app.
        folder: Of the round.
        settings: Where broker and store are.
        add_tasks: Adds its tasks.
    """
    app = Celery(name, set_as_current=False)
    app.conf.update({**QUICKENED, **settings, "jobtrack_spool_dir": str(spool_folder(folder))})
    jobtrack = JobTrack(app)
    add_tasks(app, jobtrack, folder)
    app.finalize()
    return app, jobtrack


def open_shop(name: str, add_tasks: AddTasks) -> tuple[Celery, JobTrack, tuple[object, ...]] | None:
    """The app of a worker, with listeners connected; None where no round has started this process."""
    if FOLDER not in os.environ:
        return None
    contract.EVENT_CLAIM = HOLD  # before a store is imported, which takes it from there
    folder = Path(os.environ[FOLDER])
    app, jobtrack = make_app(name, folder, json.loads(os.environ[SETTINGS]), add_tasks)
    app.set_current()
    return app, jobtrack, listen(folder / journal.LISTENERS, float(os.environ[LISTENING]))


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
