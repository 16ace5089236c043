"""What is said when a group refuses a member."""

from __future__ import annotations

from celery_jobtrack.errors import GroupCancelled


def cancelled_group(title: str, group_id: str) -> GroupCancelled:
    """The error for a group that somebody, or its first failure, has cancelled.

    Args:
        title: The group's.
        group_id: Its id.
    """
    return GroupCancelled(
        f"group {title!r} ({group_id}) was cancelled and takes no more members; reopen() begins its next "
        "generation, when all of its members have ended"
    )
