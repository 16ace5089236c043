"""Two workers for the same canvas: one whose tasks are tracked, and one whose tasks are plain."""

from __future__ import annotations

import gc
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.integration.apps import canvas as canvas_app
from tests.integration.live import Process
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOUND = 30.0
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def masked(text: object) -> str:
    """Without the ids in it, which differ from run to run."""
    return UUID.sub("<id>", str(text))


class Kitchen:
    """The test's side of one of them: its tasks are attributes, as in the documentation."""

    celery = (sys.executable, "-m", "celery", "-A", "tests.integration.apps.canvas")

    def __init__(self, folder: Path, broker: str, store: str = "") -> None:
        self.folder = folder
        self.broker = broker
        self.store = store
        self.processes = 0
        self.app: Any = canvas_app.make_app(broker, store, folder)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.app.tasks[f"canvas.{name}"]
        except KeyError:
            raise AttributeError(name) from None

    def environment(self, **_settings: Any) -> dict[str, str]:
        return {
            **os.environ,
            canvas_app.FOLDER: str(self.folder),
            canvas_app.BROKER: self.broker,
            canvas_app.STORE: self.store,
            "C_FORCE_ROOT": "1",
        }

    @contextmanager
    def worker(self) -> Iterator[Process]:
        name = "tracked" if self.store else "plain"
        process = Process(self, "worker", "-c", "2", "-l", "INFO", "-n", f"{name}@canvas", settings={})
        try:
            process.await_ready()
            yield process
        finally:
            process.stop()

    def book(self, name: str, lines: int) -> list[str]:
        """What callbacks wrote into a book, as soon as there are so many lines."""
        path = self.folder / name

        def read() -> list[str]:
            found = masked(path.read_text()).splitlines() if path.exists() else []
            return found if len(found) >= lines else []

        return sorted(wait_until(read, BOUND, f"nothing was written into {name}"))

    def children(self, result: Any, count: int) -> list[Any]:
        """The results of what a task has sent."""
        return wait_until(
            lambda: result.children if len(result.children or ()) >= count else None,
            BOUND,
            "the children of a result are not known",
        )

    def close(self) -> None:
        if self.store:
            from celery_jobtrack import JobTrack

            JobTrack.of(self.app).close()
        # Results that never came refer to each other, and talk to the server when they are collected.
        self.app.backend._pending_results.concrete.clear()
        gc.collect()
        self.app.backend.result_consumer.stop()
        self.app.backend.client.connection_pool.disconnect()
        self.app.close()
