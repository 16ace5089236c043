"""A group as the store knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.errors import UnknownGroup

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord


def recorded(runtime: Runtime, group_id: str) -> GroupRecord:
    """The record of the group with this id. Raises UnknownGroup."""
    record = runtime.store.group(group_id)
    if record is None:
        raise UnknownGroup(
            f"group {group_id!r} is not recorded in namespace {runtime.settings.namespace!r}; "
            "create it with jobtrack.groups.create()"
        )
    return record
