"""Refuses to wait inside of a task, where all workers may come to wait for what none is left to do."""

from __future__ import annotations

from celery import current_task
from celery.result import task_join_will_block  # type: ignore[attr-defined] # not in the stubs

from celery_jobtrack.errors import WouldBlock


def check_may_wait(what: str, instead: str) -> None:
    """Let nobody wait where Celery's own ``result.get()`` is refused.

    Args:
        what: What is waited for.
        instead: What to do about it.

    Raises:
        WouldBlock: This is inside of a task.
    """
    if not task_join_will_block():
        return
    name = getattr(current_task, "name", None)
    task = "a task" if name is None else f"task {name}"
    raise WouldBlock(
        f"{what} cannot be waited for inside of {task}: if every worker waited, nobody would be left to run "
        f"the jobs; {instead}"
    )
