"""The jobs of a round on their way: what was dispatched, and what the dispatch said."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_jobtrack.errors import GroupCompleted, StoreUnavailable
from tests.crash.plan import CROWDS, Crowd, Phase

if TYPE_CHECKING:
    from celery import Celery

    from celery_jobtrack import JobTrack
    from tests.crash.plan import Order, Plan

WAIT_SECONDS = 60.0
RETRY_EVERY = 0.2


class Traffic:
    """Dispatches a plan's orders in a thread of its own, beside the fault.

    ``struck`` and ``over`` are set by the round: the second phase begins with the fault, the third when
    what was struck is back.
    """

    def __init__(self, plan: Plan, app: Celery, jobtrack: JobTrack) -> None:
        self._plan = plan
        self._app = app
        self._jobtrack = jobtrack
        self._thread = threading.Thread(target=self._run, name="crash-traffic", daemon=True)
        self.struck = threading.Event()
        self.over = threading.Event()
        self.groups: list[Any] = []
        self.sent: set[str] = set()
        """Ids of the jobs whose dispatch returned."""
        self.refused: dict[str, str] = {}
        """Those whose dispatch raised what it may raise during an outage, and what."""
        self.surprises: list[str] = []
        """What should not have been raised."""

    def start(self) -> None:
        """Make the groups, and begin."""
        self.groups = [self._create(crowd) for crowd in CROWDS]
        self._thread.start()

    def join(self) -> None:
        """Wait until all is dispatched. Raises AssertionError if that takes too long."""
        self.struck.set()
        self.over.set()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), f"not all was dispatched in {WAIT_SECONDS:g} s"

    def _create(self, crowd: Crowd) -> Any:
        key = crowd.title if crowd.standing else None
        about = {"standing": crowd.standing, "settle_after": crowd.settle_after}
        if key is None:
            return self._jobtrack.groups.create(crowd.title, **about)
        return self._jobtrack.groups.get_or_create(key, **about)

    def _run(self) -> None:
        try:
            with ExitStack() as holds:
                for crowd, group in zip(CROWDS, self.groups, strict=True):
                    if crowd.filling:
                        holds.enter_context(group.filling())
                self._dispatch_all()
        except StoreUnavailable:
            pass  # a hold that cannot be given back ends by itself
        except Exception as error:
            self.surprises.append(f"the dispatching thread ended by {error!r}")

    def _dispatch_all(self) -> None:
        gates = {Phase.BEFORE: None, Phase.DURING: self.struck, Phase.AFTER: self.over}
        for phase, gate in gates.items():
            if gate is not None:
                gate.wait(WAIT_SECONDS)
            for order in self._plan.orders:
                if order.phase is phase:
                    time.sleep(order.pause)  # drawn with the plan: it waits for nothing
                    self._dispatch(order)
            for crowd, group in zip(CROWDS, self.groups, strict=True):
                if not crowd.standing and crowd.last_phase is phase:
                    self._seal(group)

    def _dispatch(self, order: Order) -> None:
        group = None if order.crowd is None else self.groups[order.crowd]
        try:
            self._app.tasks[f"crash.{order.task}"].apply_async(
                (order.seconds, order.failures), task_id=order.id, job_group=group
            )
        except (StoreUnavailable, OperationalError) as error:
            self.refused[order.id] = f"{type(error).__name__}: {error}"
        except Exception as error:
            self.surprises.append(f"the dispatch of {order.task} job {order.id} raised {error!r}")
        else:
            self.sent.add(order.id)

    def _seal(self, group: Any) -> None:
        """A user would try again, too: what is not sealed does not complete."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                group.seal()
            except GroupCompleted:  # an earlier call was heard though its answer was lost
                return
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_EVERY)
            else:
                return
