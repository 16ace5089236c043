"""The app that is measured: a task that does nothing, and one that may follow on many; tracked or not.

``celery -A benchmarks.app worker`` runs it as the environment says, see ``case.py``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.case import Case
from benchmarks.marks import Marks

RATE = "120/m"
INTERVAL = 0.5
"""Seconds, of that rate."""
WARM_UP = "warm-up"
MEASURED = "measured"


def make_app(case: Case) -> Celery:
    """The app of a case."""
    if case.django is not None:
        import django

        django.setup()
    app = Celery("benchmarks", set_as_current=False)
    app.conf.update(case.conf)
    options = {}
    if case.tracked:
        from celery_jobtrack import JobTrack, TrackableTask

        JobTrack(app)
        options["base"] = TrackableTask
        if case.heard is not None:
            _note_completions(Path(case.heard))
    marks = Marks(Path(case.marks))

    @app.task(name="benchmarks.noop", shared=False, **options, **_lock_options(app, case))
    def noop(number: str = "") -> None:  # noqa: ARG001 - what a key is made of
        marks.add()

    if case.tracked:

        @app.task(name="benchmarks.rated", shared=False, global_rate=RATE, **options)
        def rated() -> None:
            """What counts is recorded."""

    @app.task(name="benchmarks.follow", shared=False, **options)
    def follow() -> None:
        now = time.monotonic_ns()
        with Path(str(case.followed)).open("a") as file:
            file.write(f"{now}\n")

    return app


def _lock_options(app: Celery, case: Case) -> dict[str, Any]:
    if case.lock is None:
        return {}
    if case.lock == "jobtrack":
        return {"without_overlapping": True}
    from celery_singleton import Singleton

    app.conf.singleton_backend_url = case.lock.partition(" ")[2]
    return {"base": Singleton}


def _note_completions(path: Path) -> None:
    """Write a line for each group that has completed: its id, and when."""
    from celery_jobtrack import events

    def note(_sender: object, *, group: Any, **_: object) -> None:
        now = time.time()
        with path.open("a") as file:
            file.write(f"{group.id} {now:.6f}\n")

    events.job_group_completed.connect(note, weak=False)


def __getattr__(name: str) -> Celery:
    # Celery asks for it by this name; nothing is made for those who import only the functions.
    if name == "app":
        made = globals()["app"] = make_app(Case.here())
        return made
    raise AttributeError(name)
