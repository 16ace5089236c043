"""For Django: tasks that are tracked and can be sent when the transaction has been committed."""

from __future__ import annotations

from celery.contrib.django.task import DjangoTask

from celery_jobtrack.task import TrackableTask


class DjangoTrackableTask(TrackableTask, DjangoTask):  # type: ignore[type-arg] # see TrackedTask
    """``TrackableTask`` with Django's ``delay_on_commit`` and ``apply_async_on_commit``."""

    abstract = True
