"""Our own tasks: one checker tick, and delivery of what waits for it. They are never tracked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.ports import CHECK, DELIVER
from celery_jobtrack.integration.runtime import Runtime

if TYPE_CHECKING:
    from celery import Celery


def register(app: Celery) -> None:
    """Register ``celery_jobtrack.check`` and ``celery_jobtrack.deliver`` on an app, once."""

    @app.task(name=CHECK, shared=False, ignore_result=True, lazy=False)
    def check() -> dict[str, Any] | None:
        """Run one tick of the checker, unless another one holds its lease."""
        runtime = Runtime.of(app)
        if runtime is None or not runtime.enabled:
            return None
        tick = runtime.checker().tick()
        return None if tick is None else asdict(tick)

    @app.task(name=DELIVER, shared=False, ignore_result=True, lazy=False)
    def deliver() -> int:
        """Deliver the events of groups that nobody delivers."""
        runtime = Runtime.of(app)
        return 0 if runtime is None or not runtime.enabled else runtime.tracker.delivery.deliver_due()


def schedule(scheduler: Any, runtime: Runtime) -> None:
    """Put the checker into beat's schedule, unless an entry of this name is there.

    An entry that starts late expires, so none pile up.
    """
    interval = runtime.settings.check_interval
    # Celery 5.7's beat cannot add its own header where there are none.
    options = {"expires": interval, "ignore_result": True, "headers": {}}
    if CHECK not in scheduler.schedule:
        scheduler.update_from_dict({CHECK: {"task": CHECK, "schedule": interval, "options": options}})
