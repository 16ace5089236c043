"""The app that is measured: one task that does nothing, tracked or not.

``celery -A benchmarks.app worker`` runs it as the environment says, see ``case.py``.
"""

from __future__ import annotations

from pathlib import Path

from celery import Celery

from benchmarks.case import Case
from benchmarks.marks import Marks

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
    marks = Marks(Path(case.marks))

    @app.task(name="benchmarks.noop", shared=False, **options)
    def noop() -> None:
        marks.add()

    return app


def __getattr__(name: str) -> Celery:
    # Celery asks for it by this name; nothing is made for those who import only the functions.
    if name == "app":
        made = globals()["app"] = make_app(Case.here())
        return made
    raise AttributeError(name)
