"""Groups of jobs: making them, filling them, asking them, waiting for them."""

from celery_jobtrack.features.groups.batch import PendingBatch
from celery_jobtrack.features.groups.catalogue import Groups
from celery_jobtrack.features.groups.following import GroupCallback
from celery_jobtrack.features.groups.group import JobGroup
from celery_jobtrack.features.groups.retrying import Retried
from celery_jobtrack.features.groups.sending import several

__all__ = ["GroupCallback", "Groups", "JobGroup", "PendingBatch", "Retried", "several"]
