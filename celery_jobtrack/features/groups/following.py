"""The callbacks of a group, each with its job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_jobtrack.model.state import CallbackKind

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCallback:
    """One callback of a group, and its job in the group's present generation."""

    kind: CallbackKind
    task: str
    every: int
    """Of progress: after how many ended members it is due; 0 for others."""
    job_id: str
    job: JobRecord | None
    """None while it is not due, and when it has been deleted. Of progress it is the last one."""


def callbacks_with_jobs(runtime: Runtime, group: GroupRecord) -> tuple[GroupCallback, ...]:
    """A group's callbacks in the order in which they were given."""
    return tuple(_with_job(runtime, group, callback) for callback in group.callbacks)


def _with_job(runtime: Runtime, group: GroupRecord, callback: Callback) -> GroupCallback:
    final = group.totals.final
    step = final - final % callback.every if callback.kind is CallbackKind.PROGRESS else 0
    job_id = callback.job_id(runtime.settings.namespace, group.id, group.generation, step)
    return GroupCallback(
        kind=callback.kind,
        task=callback.task,
        every=callback.every,
        job_id=job_id,
        job=runtime.store.job(job_id),
    )
