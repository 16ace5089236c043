"""Many jobs at once: recorded by one write of the store, sent by one batch, chunk by chunk."""

from celery_jobtrack.integration.bulk.dispatching import CHUNK, dispatch

__all__ = ["CHUNK", "dispatch"]
