"""The tasks of Celery's canvas documentation, tracked or plain, on a Redis as broker and result backend."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore

BROKER = "JOBTRACK_CANVAS_BROKER"
STORE = "JOBTRACK_CANVAS_STORE"
"""Where jobs are recorded; not given, the tasks are plain ones and nothing of ours is imported."""
FOLDER = "JOBTRACK_CANVAS_FOLDER"


def make_app(broker: str, store: str, folder: Path) -> Celery:
    """The app with its tasks."""
    app = Celery("canvas", broker=broker, backend=broker, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        result_chord_join_timeout=10,
        result_extended=True,
    )
    options: dict[str, object] = {"shared": False}
    if store:
        from celery_jobtrack import JobTrack, TrackableTask

        app.conf.update(jobtrack_strategy=store, jobtrack_check_interval=0.5, jobtrack_heartbeat=0.5)
        app.conf.update(jobtrack_lease=3)
        JobTrack(app)
        options["base"] = TrackableTask
    _add_tasks(app, folder, options)
    _add_replaced_tasks(app, options)
    app.finalize()
    return app


def _add_tasks(app: Celery, folder: Path, options: dict[str, object]) -> None:
    def note(book: str, text: object) -> None:
        with (folder / book).open("a") as file:
            file.write(f"{text}\n")

    @app.task(name="canvas.add", **options)
    def add(x: int, y: int, debug: bool = False) -> int:
        return -(x + y) if debug else x + y

    @app.task(name="canvas.mul", **options)
    def mul(x: int, y: int) -> int:
        return x * y

    @app.task(name="canvas.xsum", **options)
    def xsum(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="canvas.identity", **options)
    def identity(value: object) -> object:
        return value

    @app.task(name="canvas.raising", **options)
    def raising(*_: object) -> None:
        raise ValueError("something something")

    @app.task(name="canvas.ignored", **options)
    def ignored(book: str) -> None:
        note(book, "ran")
        raise Ignore

    @app.task(name="canvas.flaky", bind=True, max_retries=3, **options)
    def flaky(self, value: int, failures: int = 1) -> int:
        if self.request.retries < failures:
            # Without a pause Celery may store RETRY after the next try has stored its SUCCESS.
            raise self.retry(exc=ConnectionError("try again"), countdown=1)
        return value

    @app.task(name="canvas.log_result", **options)
    def log_result(value: object, book: str) -> object:
        note(book, value)
        return value

    @app.task(name="canvas.log_error_of_id", **options)
    def log_error_of_id(task_id: str, book: str) -> None:
        """The documentation's error callback: it takes the parent's id."""
        result = app.AsyncResult(task_id)
        result.get(propagate=False, disable_sync_subtasks=False)
        note(book, repr(result.result))

    @app.task(name="canvas.log_error", **options)
    def log_error(request: object, exc: object, traceback: object, book: str) -> None:
        """The newer error callback, which is called with the request, the exception and its traceback."""
        note(book, f"{request.task} {exc!r}")  # type: ignore[attr-defined]

    @app.task(name="canvas.stamps", bind=True, **options)
    def stamps(self) -> object:
        names = sorted(self.request.stamped_headers or ())
        return {name: self.request.stamps.get(name) for name in names}

    @app.task(name="canvas.relations", bind=True, **options)
    def relations(self, *_: object) -> dict[str, object]:
        """What its message says of its place in the canvas."""
        request = self.request
        return {
            "is_root": request.root_id == request.id,
            "has_parent": request.parent_id is not None,
            "in_group": request.group is not None,
            "index": request.group_index,
            "has_chord": request.chord is not None,
        }

    @app.task(name="canvas.group_title", bind=True, **options)
    def group_title(self) -> object:
        """The title of the group of jobs that it is part of, as a tracked task sees it."""
        found = self.job_group
        return None if found is None else found.title

    @app.task(name="canvas.die", **options)
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="canvas.plain", shared=False)
    def plain(divisor: int) -> float:
        """A task that is not tracked by itself."""
        return 1 / divisor

    @app.task(name="canvas.spawn", bind=True, **options)
    def spawn(self, n: int) -> int:
        """Send a group from inside of a task: its results become children of this one's."""
        group(app.signature("canvas.add", (i, i)) for i in range(n)).apply_async()
        return n

    @app.task(name="canvas.extend_chord", bind=True, **options)
    def extend_chord(self, value: int) -> int:
        self.add_to_chord(app.signature("canvas.add", (value, value)))
        return value


def _add_replaced_tasks(app: Celery, options: dict[str, object]) -> None:
    def add(*args: int) -> object:
        return app.signature("canvas.add", args)

    def xsum() -> object:
        return app.signature("canvas.xsum")

    def raising() -> object:
        return app.signature("canvas.raising", immutable=True)

    @app.task(name="canvas.replaced", bind=True, **options)
    def replaced(self, value: int, how: str) -> object:
        sig = {
            "task": lambda: add(value, 1),
            "chain": lambda: chain(add(value, 1), add(2), app=app),
            "group": lambda: group([add(value, 1), add(value, 2)], app=app),
            "chord": lambda: chord([add(value, 1), add(value, 2)], xsum(), app=app),
            "chain of group": lambda: chain(add(value, 1), group([add(2), add(3)], app=app), app=app),
            "error": raising,
            "failing chain": lambda: chain(raising(), add(1), app=app),
            "failing chord": lambda: chord([add(value, 1), raising()], xsum(), app=app),
            "replaced": lambda: app.signature("canvas.replaced", (value, "task")),
        }[how]()
        raise self.replace(sig)


if FOLDER in os.environ:
    app = make_app(os.environ[BROKER], os.environ.get(STORE, ""), Path(os.environ[FOLDER]))
    app.set_current()
    app.set_default()
