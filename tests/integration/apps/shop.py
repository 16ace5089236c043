"""An app as a user would write it, with a task for every way in which a job can end.

Its folder, its store and its broker come from the environment, so that a worker process and the test
share it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from celery import Celery, group
from celery.exceptions import Ignore, Reject

from celery_jobtrack import JobTrack, Limit, Overlap, TrackableTask, events
from celery_jobtrack.integration import bootstep
from tests.integration.apps import witness

FOLDER = "JOBTRACK_SHOP_FOLDER"
STORE = "JOBTRACK_SHOP_STORE"
BROKER = "JOBTRACK_SHOP_BROKER"
SETTINGS = "JOBTRACK_SHOP_SETTINGS"
JOBS = "tests.integration.apps.jobs"


def make_app(folder: Path, store: str = "", broker: str = "", **conf: object) -> Celery:
    """The app, without its tasks: by default all in its folder, else on this store and this broker."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    url = broker or "filesystem://"
    app = Celery("shop", broker=url, backend=f"file://{results}", set_as_current=False)
    app.conf.update(
        **broker_settings(folder, url),
        broker_connection_retry_on_startup=True,
        jobtrack_strategy=store or f"sqlite:///{folder / 'jobtrack.db'}",
        jobtrack_heartbeat=0.5,
        jobtrack_lease=3,
        jobtrack_check_interval=0.5,
        jobtrack_lost_message_after=2,
        jobtrack_store_wait=30,
    )
    app.conf.update(conf)
    return app


def broker_settings(folder: Path, url: str) -> dict[str, object]:
    """What Celery must be told of a broker, beside its URL."""
    match url.partition(":")[0]:
        case "filesystem":
            options = {"folder": str(folder / "broker"), "polling_interval": 0.05}
            transport = "celery_jobtrack.transport.filesystem:Transport"
            return {"broker_transport": transport, "broker_transport_options": options}
        case "amqp":  # without a confirmation, what is published while the broker dies is gone
            return {"broker_transport_options": {"confirm_publish": True}}
        case _:
            return {}


def add_tasks(app: Celery, folder: Path) -> None:
    tracked = {"base": TrackableTask, "shared": False}

    @app.task(name="shop.add", **tracked)
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="shop.error", **tracked)
    def error() -> None:
        raise ValueError("boom")

    @app.task(name="shop.login", **tracked)
    def login(user: str, password: str) -> None:
        raise PermissionError(f"{user} cannot log in with password={password}")

    @app.task(name="shop.flaky", bind=True, max_retries=5, **tracked)
    def flaky(self, failures: int, orderly: bool = False) -> str:
        if orderly:
            await_told(self)
        if self.request.retries < failures:
            raise self.retry(exc=ConnectionError(f"try {self.request.retries}"), countdown=0)
        return "at last"

    @app.task(name="shop.hopeless", bind=True, max_retries=2, **tracked)
    def hopeless(self, orderly: bool = False) -> None:
        if orderly:
            await_told(self)
        raise self.retry(exc=ConnectionError(f"try {self.request.retries}"), countdown=0)

    def await_told(task: TrackableTask) -> None:
        """Wait until Celery's result says that the try before asked for this one.

        Celery stores RETRY after it has published the next try, which may have ended by then.
        """
        before = task.request.retries - 1
        if before >= 0:
            meta = task.backend.get_task_meta
            wait_a_minute(lambda: str(meta(task.request.id)["result"]) == f"try {before}")

    @app.task(name="shop.ignore", **tracked)
    def ignore() -> None:
        raise Ignore

    @app.task(name="shop.reject", acks_late=True, **tracked)
    def reject() -> None:
        raise Reject("no", requeue=False)

    @app.task(name="shop.reject_once", bind=True, acks_late=True, **tracked)
    def reject_once(self) -> None:
        if self.attempt == 1:
            raise Reject("later", requeue=True)

    @app.task(name="shop.reject_acknowledged", **tracked)
    def reject_acknowledged() -> None:
        raise Reject("too late for that", requeue=True)

    @app.task(name="shop.replaced", bind=True, **tracked)
    def replaced(self, how: str) -> None:
        one = app.signature("shop.add", (3, 4))
        sig = {
            "task": one,
            "error": app.signature("shop.error"),
            "chain": one | app.signature("shop.add", (1,)),
            "failing chain": app.signature("shop.error", immutable=True) | one,
            "failing group": group(one, app.signature("shop.error"), app=app),
            "group": group(one, app.signature("shop.add", (5, 6)), app=app),
        }[how]
        raise self.replace(sig)

    @app.task(name="shop.soft", soft_time_limit=1, **tracked)
    def soft() -> None:
        signal.pause()

    @app.task(name="shop.hard", time_limit=1, **tracked)
    def hard() -> None:
        signal.pause()

    @app.task(name="shop.die", **tracked)
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="shop.die_once", bind=True, acks_late=True, reject_on_worker_lost=True, **tracked)
    def die_once(self) -> None:
        if self.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="shop.die_always", lost_policy="requeue", **tracked)
    def die_always() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="shop.die_once_early", bind=True, lost_policy="requeue", **tracked)
    def die_once_early(self) -> None:
        if self.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="shop.note", bind=True, **tracked)
    def note(self, seconds: float = 0.0) -> None:
        """Write down that this job runs, whatever the store knows of it."""
        with (folder / "runs").open("a") as runs:
            runs.write(f"{self.request.id}\n")
        time.sleep(seconds)

    guard = {"lost_policy": "requeue", **tracked}

    @app.task(name="shop.rated", bind=True, global_rate="120/m", **guard)
    def rated(self, number: int) -> None:
        """Write down that this job runs."""
        with (folder / "runs").open("a") as runs:
            runs.write(f"{self.request.id}\n")

    @app.task(name="shop.unique", unique_for=600, **tracked)
    def unique(name: str) -> None:
        """Wait for the test's word."""
        say_that_it_runs(name)
        wait_a_minute((folder / f"{name}.go").exists)

    @app.task(
        name="shop.guarded", bind=True, without_overlapping=Overlap(key="{key}", on_conflict="wait"), **guard
    )
    def guarded(self, key: str, seconds: float = 0.0) -> None:
        """Look whether somebody else is at this key, by a lock that ends with its process."""
        witness.at(folder, key, self.request.id, self.fence, seconds)

    @app.task(name="shop.limited", bind=True, max_concurrent=Limit(3), **guard)
    def limited(self, seconds: float = 0.0) -> None:
        """One of three."""
        witness.among(folder, "limited", 3, seconds)

    @app.task(name="shop.skipping", without_overlapping=True, **tracked)
    def skipping(name: str) -> None:
        """Wait for the test's word; nobody else may begin meanwhile."""
        say_that_it_runs(name)
        wait_a_minute((folder / f"{name}.go").exists)

    @app.task(name="shop.told_order", **tracked)
    def told_order(number: int) -> None:
        """Write down whose turn it was."""
        with (folder / "order").open("a") as order:
            order.write(f"{number}\n")

    @app.task(name="shop.leave", **tracked)
    def leave() -> None:
        raise SystemExit(3)

    @app.task(name="shop.wait", bind=True, **tracked)
    def wait(self, name: str) -> str:
        """Say that it runs, then go on until the test says so, or the job is cancelled."""
        (folder / f"{name}.running").write_text(str(os.getpid()))
        deadline = time.monotonic() + 60
        while not (folder / f"{name}.go").exists():
            if self.cancelled:
                return "cancelled"
            if time.monotonic() > deadline:
                raise TimeoutError(name)
            time.sleep(0.02)
        return "went"

    @app.task(name="shop.wait_late", bind=True, acks_late=True, **tracked)
    def wait_late(self, name: str) -> str:
        return wait.run(name)

    @app.task(name="shop.deaf", **tracked)
    def deaf(name: str) -> None:
        """Run on, whatever is wanted of it."""
        say_that_it_runs(name)
        wait_a_minute(lambda: False)

    @app.task(name="shop.deaf_late", acks_late=True, reject_on_worker_lost=True, **tracked)
    def deaf_late(name: str) -> None:
        deaf(name)

    @app.task(name="shop.retry_after", bind=True, **tracked)
    def retry_after(self, name: str, countdown: float) -> None:
        """Wait for the test's word, and ask to be run again."""
        say_that_it_runs(name)
        wait_a_minute((folder / f"{name}.go").exists)
        raise self.retry(exc=ConnectionError("try again"), countdown=countdown)

    def say_that_it_runs(name: str) -> None:
        (folder / f"{name}.running").write_text(str(os.getpid()))

    def wait_a_minute(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.02)

    @app.task(name="shop.collect", **tracked)
    def collect(results: list[int]) -> int:
        return sum(results)

    @app.task(name="shop.told", bind=True, max_retries=3, **tracked)
    def told(self, group_id: str, what: str, fails: int = 0) -> None:
        """A callback: write down what it is and whose."""
        if self.request.retries < fails:
            raise self.retry(exc=ConnectionError("try again"), countdown=0)
        with (folder / "told.jsonl").open("a") as file:
            file.write(json.dumps({"what": what, "group": group_id, "job": self.request.id}) + "\n")

    @app.task(name="shop.fails_until", **tracked)
    def fails_until(name: str) -> None:
        """Fail until the test says otherwise."""
        if not (folder / f"{name}.go").exists():
            raise ValueError(name)

    @app.task(name="shop.adds", bind=True, **tracked)
    def adds(self, number: int) -> None:
        """Add members to the group that this is a member of."""
        self.job_group.add(add.s(n, n) for n in range(number))

    @app.task(name="shop.member", group_required=True, bind=True, **tracked)
    def member(self) -> str:
        return str(self.job_group.title)

    @app.task(name="shop.delivered", bind=True, **tracked)
    def delivered(self) -> dict[str, object]:
        """Say how the message came."""
        names = ("priority", "routing_key", "redelivered")
        return {name: self.request.delivery_info.get(name) for name in names}

    @app.task(name="shop.forgetful", base=Forgetful, shared=False)
    def forgetful() -> str:
        return "ran"

    @app.task(name="shop.plain", shared=False)
    def plain() -> str:
        return "plain"

    @app.task(name="shop.custom_request", base=OwnRequest, bind=True, acks_late=True, shared=False)
    def custom_request(self) -> None:
        if self.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="shop.odd_progress", bind=True, **tracked)
    def odd_progress(self) -> None:
        for current in (1, float("inf"), "a"):
            self.progress(current, 10)

    @app.task(name="shop.plain_die_once", acks_late=True, reject_on_worker_lost=True, shared=False)
    def plain_die_once() -> None:
        died = folder / "plain_die_once.died"
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Forgetful(TrackableTask):
    """A base class whose hooks forget ``super()``."""

    abstract = True

    def before_start(self, task_id, args, kwargs):
        pass

    def on_success(self, retval, task_id, args, kwargs):
        pass

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        pass

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        pass


class OwnRequest(TrackableTask):
    """A base class with a request of its own."""

    abstract = True
    reject_on_worker_lost = True
    Request = "tests.integration.apps.requests:OwnRequest"


def add_listeners(folder: Path) -> tuple[object, ...]:
    def write(kind: str, group: object, event_id: str) -> None:
        line = json.dumps(
            {"kind": kind, "group": group.id, "event": event_id, "generation": group.generation}
        )
        with (folder / "events.jsonl").open("a") as file:
            file.write(line + "\n")

    def on_started(sender, *, group, event_id, **_):
        write("started", group, event_id)

    def on_completed(sender, *, group, event_id, **_):
        write("completed", group, event_id)

    events.job_group_started.connect(on_started)
    events.job_group_completed.connect(on_completed)
    return on_started, on_completed


def die_at_callbacks(jobtrack: JobTrack, folder: Path) -> None:
    """From now on a process that is about to send a group's callback is killed instead."""

    def die(*_: object, **__: object) -> None:
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    jobtrack.runtime.ports.publish_callback = die


if FOLDER in os.environ:
    _folder = Path(os.environ[FOLDER])
    app = make_app(_folder, os.environ.get(STORE, ""), os.environ.get(BROKER, ""))
    app.conf.update(json.loads(os.environ.get(SETTINGS) or "{}"))
    app.set_current()
    jobtrack = JobTrack(app)
    jobtrack.autodiscover(JOBS)
    add_tasks(app, _folder)
    _listeners = add_listeners(_folder)
    # A worker whose own look comes so seldom shows who else sees to it that jobs go in time.
    bootstep.ALARM_INTERVAL = app.conf.get("shop_alarm_interval", bootstep.ALARM_INTERVAL)
    if app.conf.get("shop_dies_at_callbacks"):
        die_at_callbacks(jobtrack, _folder)
