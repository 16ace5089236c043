"""Dispatches that have a key: the ids of their jobs, and which group they belong to."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.strategies.strays import StrayJob

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime

_IDS = uuid.UUID("5f0c8c2e-6a3e-4a43-9d8e-52f4d1a1c7b5")
"""The namespace of the ids that are made from a key."""


def id_from_key(namespace: str, key: str, number: int) -> str:
    """The id of the job at a place of a dispatch that has a key: the same whenever it is made."""
    return str(uuid.uuid5(_IDS, f"{namespace}\n{key}\n{number}"))


def check_group_of_key(runtime: Runtime, key: str, group_id: str) -> None:
    """See that a key was not used in another group, before anything is done to this one.

    Args:
        runtime: The app's.
        key: Of the dispatch.
        group_id: Of the group that it goes into.

    Raises:
        InvalidPayload: The first job of this key is a member of another group, or of none.
    """
    first = runtime.store.job(id_from_key(runtime.settings.namespace, key, 0))
    if first is not None and first.group_id != group_id:
        raise strayed_by_key(StrayJob(first.id, first.group_id, group_id))


def strayed_by_key(stray: StrayJob) -> InvalidPayload:
    """What is said of a dispatch with a key in which a job is a member of another group."""
    return InvalidPayload(
        f"{stray}, with the same key or the same task_id: dispatch into that one again "
        "(groups.get_or_create() finds it by its key), or take another key"
    )
