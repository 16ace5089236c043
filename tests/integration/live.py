"""A shop with real workers: one folder, one store, any number of worker and beat processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from celery_jobtrack import JobTrack
from tests.integration.apps import shop as shop_app
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = 40.0
"""Seconds in which anything that a worker has to do must have happened."""

CELERY = (sys.executable, "-m", "celery", "-A", "tests.integration.apps.shop")


class _Place(Protocol):
    """What a process is started for: its command, its folder, and how many there were before."""

    folder: Path
    processes: int

    @property
    def celery(self) -> tuple[str, ...]: ...

    def environment(self, **settings: Any) -> dict[str, str]: ...


class Process:
    """A ``celery`` process of the shop, with its log."""

    def __init__(self, shop: _Place, *arguments: str, settings: dict[str, Any]) -> None:
        shop.processes += 1
        self.log = shop.folder / f"{arguments[0]}-{shop.processes}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*shop.celery, *arguments],
                env=shop.environment(**settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill_whole(self) -> None:
        """End it and all of its children at once, so that nothing can tell anybody anything."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(BOUND)

    def freeze(self) -> None:
        """Stop it and its children where they are."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def await_ready(self) -> None:
        """The worker consumes; fails, with its log, if it has ended instead."""
        wait_until(
            lambda: not self.is_running() or " ready." in self.tail(),
            BOUND,
            "the worker did not become ready",
        )
        assert self.is_running(), self.tail()

    def stop(self, timeout: float = BOUND) -> int:
        """End it in order; its exit status. Fails, with its log, if that takes longer than ``timeout``."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill_whole()
                raise AssertionError(f"did not stop in {timeout:g} s:\n{self.tail()}") from None
        return self._process.returncode

    def wait(self, timeout: float = BOUND) -> int:
        return self._process.wait(timeout)

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Shop:
    """The test's side: the same app and store, and what the listeners in the workers wrote down."""

    celery = CELERY

    def __init__(self, folder: Path, store_url: str = "", broker_url: str = "", **conf: Any) -> None:
        self.folder = folder
        self.store_url = store_url
        self.broker_url = broker_url
        self.processes = 0
        self.conf = conf
        self.app = shop_app.make_app(folder, store_url, broker_url, **conf)
        self.jobtrack = JobTrack(self.app)
        self.jobtrack.autodiscover(shop_app.JOBS)
        shop_app.add_tasks(self.app, folder)
        self.app.finalize()

    def task(self, name: str) -> Any:
        return self.app.tasks[f"shop.{name}"]

    def environment(self, **settings: Any) -> dict[str, str]:
        """What a process of the shop finds the folder, the store and the settings by."""
        return {
            **os.environ,
            shop_app.FOLDER: str(self.folder),
            shop_app.STORE: self.store_url,
            shop_app.BROKER: self.broker_url,
            shop_app.SETTINGS: json.dumps({**self.conf, **settings}),
            "C_FORCE_ROOT": "1",
            "PYTHONWARNINGS": "default",
        }

    def command(self, *arguments: str) -> str:
        """What ``celery -A shop jobtrack …`` says on stdout; it succeeds."""
        done = subprocess.run(
            [*CELERY, "jobtrack", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_worker(self, *options: str, **settings: Any) -> Process:
        """A worker process, which may not be ready yet. Who calls this must stop it."""
        usual = ("-c", "2", "-l", "INFO", "-n", f"w{self.processes}@shop")
        return Process(self, "worker", *usual, *options, settings=settings)

    @contextmanager
    def worker(self, *options: str, **settings: Any) -> Iterator[Process]:
        known = {worker.id for worker in self.jobtrack.inspect.workers(alive=False)}
        process = self.start_worker(*options, **settings)
        try:
            process.await_ready()
            assert {worker.id for worker in self.jobtrack.inspect.workers()} - known
            yield process
        finally:
            process.stop()

    @contextmanager
    def beat(self, *options: str, **settings: Any) -> Iterator[Process]:
        schedule = str(self.folder / "beat-schedule")
        process = Process(self, "beat", "-l", "INFO", "-s", schedule, *options, settings=settings)
        try:
            yield process
        finally:
            process.stop()

    def events(self, group: Any) -> list[str]:
        """The kinds of a group's events as its listeners got them; a repeated delivery counts once."""
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        seen = {}
        for event in map(json.loads, lines):
            if event["group"] == group.id:
                seen.setdefault(event["event"], event["kind"])
        return list(seen.values())

    def await_completion(self, group: Any) -> None:
        """The group has completed, and both of its events were delivered, exactly one of each."""
        status = group.wait(BOUND)
        assert status.outstanding == 0
        wait_until(lambda: len(self.events(group)) >= 2, BOUND, "the events were not delivered")
        assert self.events(group) == ["started", "completed"]

    def await_running(self, name: str) -> int:
        """The pid of the pool child that runs ``shop.wait`` under this name."""
        path = self.folder / f"{name}.running"
        wait_until(lambda: path.exists() and path.read_text(), BOUND, f"{name} does not run")
        return int(path.read_text())

    def let_go(self, name: str) -> None:
        (self.folder / f"{name}.go").touch()

    def close(self) -> None:
        self.jobtrack.close()
        client = getattr(self.app.backend, "client", None)
        if client is not None:
            self.app.backend.result_consumer.stop()
            client.close()
        self.app.close()
