"""What is said of a job that is recorded elsewhere than in the group of its chunk."""

from __future__ import annotations

from celery_jobtrack.errors import InvalidPayload


class StrayJob(InvalidPayload):
    """A job of a chunk is known as a member of another group, or of none; nothing of the chunk is recorded.

    Args:
        job_id: Its id.
        found: The id of the group that it is a member of; None for no group.
        wanted: That of the chunk's group; None for no group.
    """

    def __init__(self, job_id: str, found: str | None, wanted: str | None) -> None:
        super().__init__(
            f"job {job_id} was dispatched before into {_named(found)}, and not into {_named(wanted)}"
        )
        self.job_id = job_id
        self.found = found


def _named(group_id: str | None) -> str:
    return "no group" if group_id is None else f"group {group_id}"
