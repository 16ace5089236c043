"""Dispatching: the builder, and the methods that begin one on a task."""

from celery_jobtrack.features.dispatch.builder import PendingDispatch
from celery_jobtrack.features.dispatch.task import DispatchingTask

__all__ = ["DispatchingTask", "PendingDispatch"]
