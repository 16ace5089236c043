"""The options that ``apply_async`` takes besides Celery's, and their checks."""

from __future__ import annotations

from typing import Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.names import check_name

OPTIONS = (
    "job_group",
    "tags",
    "jobtrack_max_retries",
    "store_result",
    "without_overlapping",
    "unique_for",
    "unique_until",
    "unique_key",
    "deadline",
    "run_late",
)
"""They never reach the broker."""


def group_id_of(group: Any, option: str = "job_group") -> str | None:
    """The id of a group that is given as such or by its id, as ``option``. Raises InvalidPayload."""
    group_id = getattr(group, "id", group)
    if group_id is not None and not isinstance(group_id, str):
        raise InvalidPayload(f"{option} must be a group or the id of one, not {group!r}")
    return group_id


def checked_tags(tags: Any) -> tuple[str, ...]:
    """The tags, each of which can be a name. Raises InvalidPayload."""
    if tags is None:
        return ()
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise InvalidPayload(f"tags must be a list of names, not {tags!r}")
    return tuple(check_name("a tag", tag, InvalidPayload) for tag in tags)


def checked_store_result(wanted: Any) -> bool | None:
    """Whether what the job returns is kept; None leaves it to the task. Raises InvalidPayload."""
    if wanted is None or isinstance(wanted, bool):
        return wanted
    raise InvalidPayload(f"store_result must be True or False, not {wanted!r}")


def checked_run_late(wanted: Any, task: Any) -> bool:
    """Whether the job runs also after its deadline; None leaves it to the task. Raises InvalidPayload."""
    if wanted is None:
        wanted = getattr(task, "run_late", False)
    if isinstance(wanted, bool):
        return wanted
    raise InvalidPayload(f"run_late must be True or False, not {wanted!r}")
