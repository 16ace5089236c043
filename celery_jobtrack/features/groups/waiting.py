"""Waiting for a group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celery.exceptions import TimeoutError as CeleryTimeoutError

from celery_jobtrack.integration.blocking import check_may_wait

if TYPE_CHECKING:
    from celery_jobtrack.features.groups.group import JobGroup
    from celery_jobtrack.model.group import GroupStatus

LONGEST_PAUSE = 0.5
"""Seconds between two looks at the group, after a while."""


def wait_for(group: JobGroup, timeout: float | None) -> GroupStatus:
    """Wait until the generation of a group that is the present one now has completed.

    Args:
        group: It is read again before and after.
        timeout: Seconds; None waits for ever.

    Raises:
        celery.exceptions.TimeoutError: It has not completed in time.
        WouldBlock: Called inside of a task, where waiting can block every worker.
    """
    check_may_wait(
        f"group {group.record.title!r} ({group.record.id})",
        "give it a callback (finally_=…), listen to job_group_completed, or look at group.status()",
    )
    generation = group.refresh().record.generation
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = 0.02
    while True:
        status = group.status()
        if status.completed_at is not None or status.generation > generation:
            group.refresh()
            return status
        if deadline is not None and time.monotonic() + pause > deadline:
            raise CeleryTimeoutError(
                f"group {group.record.title!r} ({group.record.id}) has {status.outstanding} of "
                f"{status.total} jobs outstanding after {timeout:g} s"
            )
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.5)
