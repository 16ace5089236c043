"""Groups as members of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, UnknownGroup
from celery_jobtrack.integration.lineage import recorded
from celery_jobtrack.integration.options import group_id_of
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.requests import EnqueueRequest, Origin
from celery_jobtrack.model.state import GroupState
from celery_jobtrack.strategies.refusals import cancelled_group

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord


def parent_id_of(runtime: Runtime, parent: Any) -> str | None:
    """The id of the group that another one shall be a member of, if it takes members.

    Raises:
        InvalidPayload: It is no group.
        UnknownGroup, GroupCompleted, GroupCancelled: It takes no members.
    """
    parent_id = group_id_of(parent, "parent")
    if parent_id is None or not runtime.enabled:
        return parent_id
    record = recorded(runtime, parent_id)
    if record.state is GroupState.CANCELLED:
        raise cancelled_group(record.title, record.id)
    if record.is_over and not record.standing:
        raise GroupCompleted(f"batch {record.title!r} ({record.id}) has completed and takes no more members")
    return parent_id


def count_in_parent(runtime: Runtime, child: GroupRecord) -> None:
    """Count a group that was just made as a member of its parent, if it has one.

    It is there before it is counted, so that a crash between the two leaves an empty group that nobody
    waits for, and not a parent that waits for nobody.

    Raises:
        UnknownGroup, GroupCompleted, GroupCancelled: The parent takes no members any more.
    """
    if child.parent_id is None or not runtime.enabled:
        return
    origin = Origin(job_id=child.id, task=GROUP_TASK, args=repr(child.title), group_id=child.parent_id)
    try:
        runtime.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
    except (UnknownGroup, GroupCompleted, GroupCancelled):
        runtime.tracker.change_group(runtime.store.cancel_group(child.id))
        raise
