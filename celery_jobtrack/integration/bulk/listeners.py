"""Who listens to Celery while messages are sent."""

from __future__ import annotations

from celery import signals


def is_listened_to() -> bool:
    """Whether anybody listens to Celery's signals of publishing."""
    return bool(
        signals.before_task_publish.receivers
        or signals.after_task_publish.receivers
        or signals.task_sent.receivers
    )
