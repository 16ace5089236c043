"""From which queues a worker takes: not from those that are paused."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from celery.worker.control import control_command

from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.requests import AD_HOC

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime

logger = logging.getLogger(__name__)

COMMAND = "jobtrack_look_at_pauses"
"""What workers are told when something was paused or resumed. It only says when to look: the store knows."""


class Intake:
    """Has a worker leave the queues that are paused, and come back to them.

    It comes back only to what it has left. What is consumed is read of Celery itself each time, so whatever
    else starts or ends consuming a queue that is not paused is left alone.

    Args:
        runtime: Whose store says what is paused.
        worker: Celery's, with its queues selected.
    """

    def __init__(self, runtime: Runtime, worker: Any) -> None:
        self._runtime = runtime
        self._worker = worker
        self._queues = runtime.app.amqp.queues
        self._left: dict[str, Any] = {}
        self._paused: frozenset[str] = frozenset()
        self._reading = threading.Lock()

    def begin(self) -> None:
        """Leave what is paused before the worker consumes anything. Raises StoreUnavailable."""
        self._read()
        for key, queue in self._to_leave():
            self._leave(key, queue)

    def look(self) -> None:
        """Follow what is paused now; from any thread. Raises StoreUnavailable."""
        self._read()
        if self._to_leave() or self._to_take():
            consumer = self._worker.consumer
            # Consuming is begun and ended by the thread that does it.
            consumer.call_soon(self._follow, consumer)

    def look_soon(self) -> None:
        """The same aside: a slow store must not stall the worker's main thread."""
        self._runtime.apart(self.look)

    def _read(self) -> None:
        # One reads at a time, so that what was read last is what stays.
        with self._reading:
            halts = self._runtime.store.halts()
            self._paused = frozenset(halt.name for halt in halts if halt.kind is HaltKind.QUEUE)

    def _to_leave(self) -> list[tuple[str, Any]]:
        # Before Celery 5.7 a queue may be selected under another name than its own.
        selected = list(self._queues.consume_from.items())
        return [(key, queue) for key, queue in selected if queue.name in self._paused]

    def _to_take(self) -> list[str]:
        return [name for name in list(self._left) if name not in self._paused]

    def _leave(self, key: str, queue: Any) -> None:
        logger.warning("queue %r is paused: it is not consumed until somebody resumes it", queue.name)
        self._left[queue.name] = queue
        self._queues.deselect([key])

    def _follow(self, consumer: Any) -> None:
        tasks = consumer.task_consumer
        if tasks is None:
            return  # it is connecting: the next heartbeat looks again
        try:
            for key, queue in self._to_leave():
                # Before Celery 5.7 queues that were only published to may be among those selected.
                if tasks.consuming_from(queue.name):
                    self._leave(key, queue)
                    tasks.cancel_by_queue(queue.name)
            for name in self._to_take():
                logger.warning("queue %r was resumed", name)
                # Before Celery 5.7 that does not select a queue which is known: the next connection would not
                # consume it.
                self._queues.select_add(self._left[name])
                consumer.add_task_queue(name)
                del self._left[name]
        except Exception:  # of a connection that breaks: Celery sees that, too, and consumes what is selected
            logger.exception("what is paused is looked at again at the next heartbeat")


def install(worker: Any, intake: Intake) -> None:
    """Have a worker look at its pauses when it is told to.

    Args:
        worker: Celery's.
        intake: Its.
    """
    worker.jobtrack_intake = intake
    # Celery's commands are one table for all apps of a process; each asks the worker that got it.
    control_command(name=COMMAND, help="Look at what is paused.", visible=False)(_look)


def _look(state: Any, **_: Any) -> dict[str, str]:
    intake: Intake | None = getattr(state.consumer.controller, "jobtrack_intake", None)
    if intake is None:
        return {"error": "this worker has no celery-jobtrack"}
    intake.look_soon()
    return {"ok": "looks"}


def tell_workers(runtime: Runtime) -> None:
    """Have all workers look at what is paused. Whoever does not hear of it looks at its next heartbeat.

    Args:
        runtime: Whose workers.
    """
    try:
        names = {worker.name for worker in runtime.store.workers() if not worker.name.startswith(AD_HOC)}
        if names:
            # Named, because workers of other apps on the same broker do not know the command.
            runtime.app.control.broadcast(COMMAND, destination=sorted(names))
    except Exception as error:  # noqa: BLE001 - the broker's, whatever it raises
        logger.warning("the workers cannot be told what is paused, and see it at a heartbeat: %s", error)
