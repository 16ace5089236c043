"""The worker's part: register, heartbeat, checker, goodbye."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from celery import bootsteps, signals
from celery._state import get_current_app
from celery.worker.request import Request
from kombu.utils.imports import symbol_by_name

from celery_jobtrack.errors import JobTrackError
from celery_jobtrack.integration.aside import Aside
from celery_jobtrack.integration.canvas import FOLLOWED
from celery_jobtrack.integration.intake import Intake, install
from celery_jobtrack.integration.levels.advice import begin_work
from celery_jobtrack.integration.loop import Loop
from celery_jobtrack.integration.pool_watch import PoolWatch
from celery_jobtrack.integration.request import TrackedRequest
from celery_jobtrack.integration.runtime import NEVER_TRACKED, Runtime
from celery_jobtrack.integration.task import track
from celery_jobtrack.tracking.reaper import Reaper
from celery_jobtrack.tracking.roll_call import RollCall

if TYPE_CHECKING:
    from celery_jobtrack.tracking.checker import Checker

logger = logging.getLogger(__name__)

UID = "celery_jobtrack"
ALARM_INTERVAL = 1.0
"""Seconds between two looks at whose time has come, where nobody is known to be due sooner."""
REPLAY_INTERVAL = 0.5
"""Seconds between two looks at the spool, which is a folder on this machine and nearly always empty."""


class JobTrackStep(bootsteps.StartStopStep):
    """Opens the store before the pool forks, and keeps the worker's lease as long as it runs."""

    name = "JobTrack"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._loops: list[Loop] = []
        self._checker: Checker | None = None
        self._reaper: Reaper | None = None
        self._intake: Intake | None = None
        self._gone = False
        runtime = Runtime.of(parent.app)
        assert runtime is not None
        self._runtime = runtime
        if runtime.levels is not None:
            begin_work(runtime.levels, parent)
        self.enabled = _ready(runtime, parent.hostname)
        if self.enabled:
            _gate_tasks(runtime)
            if not _forks(parent):
                runtime.runs_bodies()
            parent.jobtrack = self
            self._intake = _intake(runtime, parent)

    def start(self, parent: Any) -> None:
        """Keep the lease, and compete for the checker's."""
        runtime, settings = self._runtime, self._runtime.settings
        runtime.aside = Aside("jobtrack-aside")
        worker = runtime.identity.worker()
        self._checker = runtime.checker()
        self._reaper = Reaper(runtime.tracker, settings)
        intake = self._intake
        assert intake is not None
        roll_call = RollCall(runtime.tracker, self._reaper, worker.id, PoolWatch(parent).is_running)

        def beat() -> None:
            assert self._reaper is not None
            # Before the heartbeat: it would hide that this worker was missing (see ``Store.observe``).
            self._reaper.observe()
            runtime.store.heartbeat(worker, settings.lease)
            # Whoever paused or resumed something may have reached the store only.
            intake.look()
            # The end of an attempt that nothing runs may be in the spool.
            if runtime.recorder.has_nothing_kept():
                roll_call.tick()

        self._loops = [
            Loop("jobtrack-heartbeat", beat, settings.heartbeat),
            Loop("jobtrack-checker", self._checker.tick, settings.check_interval),
            Loop("jobtrack-replay", runtime.recorder.replay, REPLAY_INTERVAL),
        ]
        for loop in self._loops:
            loop.start()
        runtime.set_alarm(ALARM_INTERVAL)

    def terminate(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
        """A cold shutdown sends no signal: what its jobs were at is closed here."""
        self.goodbye()

    def goodbye(self) -> None:
        """Close what is still open and end the lease; called when the pool is gone."""
        if self._gone:
            return
        self._gone = True
        if self._runtime.aside is not None:
            self._runtime.aside.stop()
            self._runtime.aside = None
        for loop in self._loops:
            loop.stop()
        if self._runtime.alarm is not None:
            self._runtime.alarm.stop()
        worker_id = self._runtime.identity.worker().id
        try:
            if self._checker is not None:
                self._checker.hand_over()
            self._runtime.recorder.replay()
            self._runtime.store.stop_worker(worker_id)
            if self._reaper is not None:
                self._reaper.close_left(worker_id)
        except JobTrackError as error:
            logger.warning("the worker leaves without a goodbye: %s; its lease will end by itself", error)
        self._runtime.close()


def connect() -> None:
    """Connect what a worker's processes have to be told of."""
    signals.celeryd_init.connect(_on_init, weak=False, dispatch_uid=f"{UID}.init")
    signals.worker_process_init.connect(_on_pool_child, weak=False, dispatch_uid=f"{UID}.child")
    signals.worker_shutdown.connect(_on_shutdown, weak=False, dispatch_uid=f"{UID}.shutdown")


def _on_init(instance: Any = None, **_: Any) -> None:
    """Read the levels before Celery asks for the queues, which would end in a traceback."""
    runtime = Runtime.of(instance.app)
    if runtime is None:
        return
    try:
        if runtime.levels is not None:
            _ = runtime.app.amqp.queues
    except JobTrackError as error:
        _refuse_to_start(error)


def _on_pool_child(**_: Any) -> None:
    runtime = Runtime.of(get_current_app())
    if runtime is not None:
        runtime.identity.inherit()
        runtime.runs_bodies()


def _on_shutdown(sender: Any = None, **_: Any) -> None:
    step = getattr(sender, "jobtrack", None)
    if step is not None:
        step.goodbye()


def _ready(runtime: Runtime, hostname: str) -> bool:
    """Check the settings, open the store and register; a worker that cannot does not start."""
    try:
        if not runtime.enabled:
            return False
        runtime.check_configuration()
        runtime.wait_for_store()
        runtime.store.register_worker(runtime.identity.become_worker(hostname), runtime.settings.lease)
    except JobTrackError as error:
        _refuse_to_start(error)
    return True


def _intake(runtime: Runtime, worker: Any) -> Intake:
    """What the worker consumes, without what is paused."""
    made = Intake(runtime, worker)
    try:
        made.begin()
    except JobTrackError as error:
        logger.warning("what is paused is not known before the first heartbeat: %s", error)
    install(worker, made)
    return made


def _refuse_to_start(error: JobTrackError) -> NoReturn:
    sys.exit(f"celery-jobtrack: {type(error).__name__}: {error}")


def _gate_tasks(runtime: Runtime) -> None:
    """Every task asks before it runs: tracking follows our header, not the task's class."""
    for name, task in runtime.app.tasks.items():
        if not name.startswith(NEVER_TRACKED) or name in FOLLOWED:
            track(task)
            _settle_lost_children(task)


def _settle_lost_children(task: Any) -> None:
    """Put our part of the request under whatever class a task has for it."""
    known = symbol_by_name(task.Request)
    if not issubclass(known, TrackedRequest):
        cls = TrackedRequest if known is Request else type(known.__name__, (TrackedRequest, known), {})
        type(task).Request = cls


def _forks(worker: Any) -> bool:
    module = getattr(worker.pool_cls, "__module__", "")
    return module == "celery.concurrency.prefork"
