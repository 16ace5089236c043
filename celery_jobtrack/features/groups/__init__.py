"""Groups of jobs: making them, filling them, asking them, waiting for them."""

from celery_jobtrack.features.groups.catalogue import Groups
from celery_jobtrack.features.groups.group import JobGroup

__all__ = ["Groups", "JobGroup"]
