"""Whether a job may be run again when the attempt that is opened now is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import LOST_POLICIES
from celery_jobtrack.errors import ConfigurationError

if TYPE_CHECKING:
    from celery_jobtrack.config import Settings


def may_rerun(settings: Settings, task: Any) -> bool:
    """What ``lost_policy`` says of a task; ``auto`` asks Celery's own settings for a promise.

    Celery promises a rerun with ``acks_late`` and ``reject_on_worker_lost``, and since 5.7 with
    ``retry_on_worker_lost``. ``acks_late`` alone is none: a lost pool child fails its job then.
    """
    policy = getattr(task, "lost_policy", None) or settings.lost_policy
    if policy != "auto":
        return bool(policy == "requeue")
    late = task.acks_late and task.reject_on_worker_lost
    return bool(late or getattr(task, "retry_on_worker_lost", None))


def check_policy(task: Any, name: str) -> None:
    """Refuse a task's ``lost_policy`` that is none. Raises ConfigurationError."""
    policy = getattr(task, "lost_policy", None)
    if policy is not None and policy not in LOST_POLICIES:
        raise ConfigurationError(
            f"lost_policy of task {name!r} = {policy!r}: it must be one of "
            f"{', '.join(map(repr, LOST_POLICIES))}"
        )
