"""A store over lockable rows, whole but for what its backend supplies."""

from __future__ import annotations

from celery_jobtrack.strategies.row.forgetting import Forgetting
from celery_jobtrack.strategies.row.groups import GroupOperations
from celery_jobtrack.strategies.row.jobs import JobTransitions
from celery_jobtrack.strategies.row.mending import Mending


class RowStore(JobTransitions, Forgetting, GroupOperations, Mending):
    """Every transition of the contract; listings, upkeep and the rows themselves are the backend's."""
