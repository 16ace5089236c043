"""Everything that tracking is in one process of one app."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import Settings
from celery_jobtrack.errors import Disabled, SchemaMismatch, StoreUnavailable
from celery_jobtrack.integration.alarm import Alarm
from celery_jobtrack.integration.announced import Announced
from celery_jobtrack.integration.canvas_groups import CanvasGroups
from celery_jobtrack.integration.claims import check_claims
from celery_jobtrack.integration.identity import Identity
from celery_jobtrack.integration.levels import AppLevels, Broker
from celery_jobtrack.integration.lineage import Lineage
from celery_jobtrack.integration.loop import Loop
from celery_jobtrack.integration.ports import CeleryPorts
from celery_jobtrack.integration.reruns import check_policy
from celery_jobtrack.integration.retentions import warn_of_short_times
from celery_jobtrack.integration.spool_folder import spool_folder
from celery_jobtrack.strategies.resolve import resolve, task_strategy
from celery_jobtrack.tracking.breaker import Breaker
from celery_jobtrack.tracking.checker import Checker
from celery_jobtrack.tracking.logs.job_logs import JobLogs
from celery_jobtrack.tracking.recorder import Recorder
from celery_jobtrack.tracking.spool import Spool
from celery_jobtrack.tracking.timekeeper import Timekeeper
from celery_jobtrack.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

    from celery_jobtrack.integration.aside import Aside
    from celery_jobtrack.integration.collector import Collector
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.requests import Worker
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.strategies.resolve import Resolved
    from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy

logger = logging.getLogger(__name__)

ATTRIBUTE = "_jobtrack_runtime"
NEVER_TRACKED = ("celery.", "celery_jobtrack.")


class Runtime:
    """The settings, the store, the tracker and the identity of one app in this process.

    Nothing is read or opened before it is needed, so an app may be configured after it is made.

    Args:
        app: The Celery app.
        sender: The sender of every signal: the ``JobTrack``.
        group_for: Makes of a group's record what users get.
    """

    def __init__(self, app: Celery, *, sender: Any, group_for: Callable[[GroupRecord], Any]) -> None:
        self.app: Any = app  # the stubs know little of what an app has
        self.sender = sender
        self.group_for = group_for
        self.identity = Identity()
        self.ports = CeleryPorts(self)
        self.lineage = Lineage(self)
        self.receivers: tuple[Any, ...] = ()
        """Of Celery's signals, which hold them weakly."""
        self._lock = threading.RLock()
        self._settings: Settings | None = None
        self._levels: AppLevels | None = None
        self._resolved: Resolved | None = None
        self._tracker: Tracker | None = None
        self._logs: JobLogs | None = None
        self._recorder: Recorder | None = None
        self._spool: Spool | None = None
        self._breaker = Breaker()
        self.aside: Aside | None = None
        """Does what a worker's main process must not wait for; None where there is no such process."""
        self.alarm: Alarm | None = None
        """Calls whose time has come; None in a process that has not had to do with such jobs."""
        self._task_strategies: dict[str, tuple[TrackingStrategy, ...]] = {}
        self._runs_bodies = False
        self._eager = threading.local()
        self._collecting = threading.local()
        self.canvas_groups = CanvasGroups(lambda: self.tracker, lambda: self.settings.time_to_check)
        self.announced = Announced()
        self._ad_hoc: Loop | None = None
        self._warned = False
        setattr(app, ATTRIBUTE, self)
        here = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _after_fork(here))

    @staticmethod
    def of(app: Any) -> Runtime | None:
        """The app's runtime, or None if tracking is not installed on it."""
        found: Runtime | None = getattr(app, ATTRIBUTE, None)
        return found

    # -- settings and store -----------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The app's settings, read and checked at first use. Raises ConfigurationError."""
        if self._settings is None:
            self._settings = Settings.read(self.app.conf)
        return self._settings

    @property
    def enabled(self) -> bool:
        """Whether jobs are tracked; warns once when they are not."""
        enabled = self.settings.enabled
        if not enabled and not self._warned:
            self._warned = True
            logger.warning("jobtrack_enabled is False: jobs are dispatched and run, and are not tracked")
        return enabled

    @cached_property
    def broker(self) -> Broker:
        """The kind of broker that the app publishes to. Opens nothing."""
        return Broker.of(self.app)

    @property
    def levels(self) -> AppLevels | None:
        """The levels of the app's queues; None without ``jobtrack_queues``. Raises ConfigurationError."""
        if self.settings.queues is None:
            return None
        if self._levels is None:
            self._levels = AppLevels(self.app, self.settings.queues)
        return self._levels

    @property
    def tracker(self) -> Tracker:
        """The tracker over the opened store.

        Raises:
            Disabled: ``jobtrack_enabled`` is False.
            StoreUnavailable: The store cannot be opened.
        """
        if self._tracker is None:
            self._open()
        assert self._tracker is not None
        return self._tracker

    @property
    def store(self) -> Store:
        """The opened store; raises as ``tracker`` does."""
        return self.tracker.store

    @property
    def recorder(self) -> Recorder:
        """Records what a job must not wait for. Raises ConfigurationError, Disabled."""
        if self._recorder is None:
            with self._lock:
                folder = spool_folder(self.settings, self.resolved().store.url)
                self._spool = Spool(folder)
                self._recorder = Recorder(
                    lambda: self.tracker, self._spool, replays_here=lambda: not self._belongs_to_worker
                )
        return self._recorder

    def resolved(self) -> Resolved:
        """The store and the plain strategy, not opened. Raises ConfigurationError."""
        with self._lock:
            if self._resolved is None:
                settings = self.settings
                self._resolved = resolve(settings.strategy, self.app.conf, namespace=settings.namespace)
            return self._resolved

    def _open(self) -> None:
        if not self.settings.enabled:
            raise Disabled("jobtrack_enabled is False, so there is no store to ask; set it to True")
        with self._lock:
            if self._tracker is None:
                store = self.resolved().store
                self._breaker.call(store.open)
                self._logs = self._make_logs()
                self._tracker = Tracker(store, self.ports, self._breaker, self._logs)
        if not self._belongs_to_worker:
            self.recorder.replay_soon()

    def _make_logs(self) -> JobLogs | None:
        settings = self.settings
        if settings.job_log is None and settings.error_log is None:
            return None
        return JobLogs(job_log=settings.job_log, error_log=settings.error_log, redact=settings.redact)

    def wait_for_store(self) -> None:
        """Open the store, waiting for it up to ``jobtrack_store_wait`` seconds.

        Raises:
            StoreUnavailable: It did not answer in that time, or its schema does not fit.
        """
        deadline = time.monotonic() + self.settings.store_wait
        wait = 0.1
        while True:
            try:
                _ = self.tracker
            except SchemaMismatch:
                raise
            except StoreUnavailable as error:
                if time.monotonic() + wait > deadline:
                    raise StoreUnavailable(
                        f"{error} (waited {self.settings.store_wait:g} s, jobtrack_store_wait)"
                    ) from error
                logger.warning("%s; trying again", error)
                time.sleep(wait)
                wait = min(2 * wait, 2.0)
            else:
                return

    def close(self) -> None:
        """Let go of the store and of every thread."""
        if self.alarm is not None:
            self.alarm.stop()
            self.alarm = None
        if self._ad_hoc is not None:
            self._ad_hoc.stop()
            self._ad_hoc = None
        with self._lock:
            if self._tracker is not None:
                if self.identity.is_set and not self._runs_bodies:
                    self._tracker.store.stop_worker(self.identity.worker().id)
                self._tracker.store.close()
                self._tracker = None
                if self._logs is not None:
                    self._logs.close()
                    self._logs = None
                self._resolved = None
                self._recorder = None

    def checker(self) -> Checker:
        """A checker over the store."""
        return Checker(self.tracker, self.settings)

    # -- strategies and tasks ------------------------------------------------------------------------

    def tracks(self, task_name: str) -> bool:
        """Whether jobs of this task are tracked whoever sends them."""
        if task_name.startswith(NEVER_TRACKED):
            return False
        return self.settings.track_all or getattr(self.known_task(task_name), "is_tracked", False)

    def known_task(self, task_name: str) -> Any:
        """The registered task, or None. Does not finalise the app, as ``app.tasks`` would."""
        return self.app._tasks.get(task_name)  # noqa: SLF001 - the public way has that side effect

    def strategies_for(self, task_name: str) -> tuple[TrackingStrategy, ...]:
        """The plain strategies that are told about jobs of a task; made once."""
        known = self._task_strategies.get(task_name)
        if known is None:
            named = getattr(self.known_task(task_name), "tracking_strategy", None)
            if named is not None:
                known = (task_strategy(named, task_name),)
            else:
                listener = self.resolved().listener
                known = () if listener is None else (listener,)
            self._task_strategies[task_name] = known
        return known

    def check_configuration(self) -> None:
        """Read everything that can be wrong, so that it is refused at start-up.

        Raises:
            ConfigurationError: A setting, a strategy or a task's declaration is wrong.
        """
        if not self.enabled:
            return
        self.resolved()
        for name in list(self.app._tasks):  # noqa: SLF001
            if getattr(self.known_task(name), "is_tracked", False):
                task = self.known_task(name)
                self.strategies_for(name)
                check_policy(task, name)
                check_claims(task, name, keeps_message=self.keeps_message_of(task))
        warn_of_short_times(self.app, self.settings)

    def keeps_message_of(self, task: Any) -> bool:
        """Whether jobs of a task can be published again from the store."""
        keep = getattr(task, "keep_message", None)
        return bool(self.settings.keep_message if keep is None else keep)

    @property
    def _belongs_to_worker(self) -> bool:
        """Whether this is a worker's main process or a pool child, where the main one replays."""
        return self.identity.is_set and self._ad_hoc is None

    # -- this process ----------------------------------------------------------------------------------

    def runs_bodies(self) -> None:
        """This process is one of a worker that run tasks, so it may call the listeners of groups."""
        self._runs_bodies = True

    def delivers_here(self) -> bool:
        """Whether this process may call the listeners of groups at this moment."""
        return self._runs_bodies or getattr(self._eager, "depth", 0) > 0

    @contextmanager
    def eagerly(self) -> Iterator[None]:
        """This thread runs a job without a worker, and stands in for one meanwhile."""
        self._eager.depth = getattr(self._eager, "depth", 0) + 1
        try:
            yield
        finally:
            self._eager.depth -= 1

    @property
    def collector(self) -> Collector | None:
        """Who takes the messages of this thread at this moment instead of the broker."""
        found: Collector | None = getattr(self._collecting, "by", None)
        return found

    @contextmanager
    def collecting(self, collector: Collector) -> Iterator[None]:
        """Have this thread's messages go to a collector, which may leave some to the broker."""
        before = self.collector
        self._collecting.by = collector
        try:
            yield
        finally:
            self._collecting.by = before

    def apart(self, work: Callable[[], object]) -> None:
        """Do something that nobody here waits for: a worker's main process must not stall."""
        if self.aside is None:
            work()
        else:
            self.aside.put(work)

    def look_at_the_time(self) -> None:
        """A job waits that may be due soon: a worker's process sees to it, as others look less often."""
        if not self._belongs_to_worker:
            return
        if self.alarm is None:
            with self._lock:
                if self.alarm is None:
                    self.set_alarm(None)
        if self.alarm is not None:
            self.alarm.wake()

    def set_alarm(self, at_least_every: float | None) -> None:
        """Have this process call whose time has come; see ``Alarm``."""
        self.alarm = Alarm("jobtrack-alarm", Timekeeper(self.tracker).tick, at_least_every)
        self.alarm.start()

    def worker(self) -> Worker:
        """Who runs a body here; a process that is no worker takes a lease of its own."""
        if not self.identity.is_set:
            with self._lock:
                if not self.identity.is_set:
                    self._become_ad_hoc()
        return self.identity.worker()

    def _become_ad_hoc(self) -> None:
        settings = self.settings
        worker = self.identity.become_ad_hoc()

        def beat() -> None:
            self.store.heartbeat(worker, settings.lease)

        self._ad_hoc = Loop("jobtrack-heartbeat", beat, settings.heartbeat)
        try:
            self.store.register_worker(worker, settings.lease)
        except StoreUnavailable as error:
            logger.warning("%s; the first heartbeat will register this process", error)
        self._ad_hoc.start()

    def after_fork(self) -> None:
        """A child has other connections, other locks, and no threads."""
        self._lock = threading.RLock()
        self._eager = threading.local()
        self._collecting = threading.local()
        self.canvas_groups.after_fork()
        self.announced.after_fork()
        if self._ad_hoc is not None:
            self._ad_hoc = None
            self.identity.forget()
        self.aside = None
        self.alarm = None
        if self._spool is not None:
            self._spool.after_fork()
        if self._logs is not None:
            self._logs.after_fork()
        if self._tracker is not None:
            self._tracker.store.after_fork()


def _after_fork(runtime: weakref.ref[Runtime]) -> None:
    here = runtime()
    if here is not None:
        here.after_fork()
