"""Many jobs at once: recorded by one write of the store, sent by one batch, chunk by chunk."""

from celery_jobtrack.integration.bulk.dispatching import CHUNK, dispatch
from celery_jobtrack.integration.bulk.members import check_one

__all__ = ["CHUNK", "check_one", "dispatch"]
