"""How long the jobs of one app are kept: its setting, its tasks, and what its broker may deliver again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import retention_of_task
from celery_jobtrack.model.retention import Retentions

if TYPE_CHECKING:
    from celery_jobtrack.config import Settings

logger = logging.getLogger(__name__)


def retentions_of(app: Any, settings: Settings) -> Retentions:
    """What holds for the jobs of an app. Finalises the app, so that all of its tasks are known.

    No time is shorter than the broker's redelivery time: a message that is delivered again for a job
    that is not recorded any more would run it a second time.

    Raises:
        ConfigurationError: What a task declares is wrong.
    """
    declared = _declared(app, settings)
    floor = redelivery_time(app) or 0.0
    return Retentions(
        default=declared.default.at_least(floor),
        tasks={task: retention.at_least(floor) for task, retention in declared.tasks.items()},
    )


def warn_of_short_times(app: Any, settings: Settings) -> None:
    """Check what tasks declare, and warn if something is kept for longer than it says.

    Raises:
        ConfigurationError: What a task declares is wrong.
    """
    declared, held = _declared(app, settings), retentions_of(app, settings)
    short = [task for task, retention in declared.tasks.items() if held.tasks[task] != retention]
    if held.default != declared.default:
        short.insert(0, "jobtrack_retention")
    if short:
        logger.warning(
            "ended jobs are kept for at least %g s, the broker's visibility_timeout, which is longer than "
            "the retention of %s: until then it may deliver a message again, and a job that is not recorded "
            "any more would run a second time",
            redelivery_time(app),
            ", ".join(short),
        )


def redelivery_time(app: Any) -> float | None:
    """Seconds after which the broker delivers again what was not acknowledged; None if it has no such time.

    Nothing is connected to.
    """
    connection = app.connection_for_read()
    given = (connection.transport_options or {}).get("visibility_timeout")
    channel = getattr(connection.get_transport_cls(), "Channel", None)
    for name in ("visibility_timeout", "default_visibility_timeout"):
        # A channel without an instance has a property in its place where the transport computes it.
        usual = getattr(channel, name, None)
        if given is None and isinstance(usual, (int, float)):
            given = usual
    try:
        return None if given is None else float(given)
    except (TypeError, ValueError):
        return None  # kombu will refuse it


def _declared(app: Any, settings: Settings) -> Retentions:
    own = {
        name: retention_of_task(name, task.retention, settings.retention)
        for name, task in app.tasks.items()
        if getattr(task, "is_tracked", False) and task.retention is not None
    }
    return Retentions(default=settings.retention, tasks=own)
