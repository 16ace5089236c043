"""Know and steer what Celery jobs do.

Every job of a task with ``base=TrackableTask`` is recorded in a store of your own, groups of jobs
announce exactly once that they started and completed, and all of it can be asked.

Importing this package is fast and does nothing; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_jobtrack.django import DjangoTrackableTask as DjangoTrackableTask
    from celery_jobtrack.features.groups import JobGroup
    from celery_jobtrack.features.job_classes import Job
    from celery_jobtrack.jobtrack import JobTrack
    from celery_jobtrack.model.dispatched import Dispatched
    from celery_jobtrack.model.group import GroupStatus
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.overlap import Limit, Overlap
    from celery_jobtrack.model.result import Failure, NotKept, Pending, Result
    from celery_jobtrack.model.state import GroupState, JobState, Reason
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy
    from celery_jobtrack.task import TrackableTask

_HOMES = {
    "Attempt": "model.job",
    "Dispatched": "model.dispatched",
    "DjangoTrackableTask": "django",
    "Failure": "model.result",
    "GroupState": "model.state",
    "GroupStatus": "model.group",
    "Limit": "model.overlap",
    "Overlap": "model.overlap",
    "Job": "features.job_classes",
    "JobGroup": "features.groups",
    "JobRecord": "model.job",
    "JobState": "model.state",
    "JobTrack": "jobtrack",
    "NotKept": "model.result",
    "Pending": "model.result",
    "Reason": "model.state",
    "Result": "model.result",
    "Store": "strategies.contract",
    "TrackableTask": "task",
    "TrackingStrategy": "strategies.tracking_strategy",
}
_MODULES = ("errors", "events")

# Without DjangoTrackableTask, so that `import *` works where Django is not installed.
__all__ = [
    "Attempt",
    "Dispatched",
    "Failure",
    "GroupState",
    "GroupStatus",
    "Job",
    "JobGroup",
    "JobRecord",
    "JobState",
    "JobTrack",
    "Limit",
    "NotKept",
    "Overlap",
    "Pending",
    "Reason",
    "Result",
    "Store",
    "TrackableTask",
    "TrackingStrategy",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    errors = import_module(f"{__name__}.errors")
    if isinstance(found := getattr(errors, name, None), type) and issubclass(found, errors.JobTrackError):
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])
