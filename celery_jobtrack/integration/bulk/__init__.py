"""Many jobs at once: recorded by one write of the store, sent by one batch, chunk by chunk."""

from celery_jobtrack.integration.bulk.dispatching import CHUNK, check_call, dispatch
from celery_jobtrack.integration.bulk.keyed import check_group_of_key
from celery_jobtrack.integration.bulk.members import check_one

__all__ = ["CHUNK", "check_call", "check_group_of_key", "check_one", "dispatch"]
