"""The course of one batch: dispatched, meddled with, awaited, and run again."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.group import GROUP_TASK
from tests.batches.plan import Again, Deed
from tests.crash.books import all_pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_jobtrack import JobTrack
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from tests.batches.acting import Acting
    from tests.batches.plan import Act, Batch

logger = logging.getLogger(__name__)

END_SECONDS = 240.0
"""In which a batch ends; there are many at a time, and workers die."""
LOOK_EVERY = 0.5


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A batch and those within at a moment at which all of them had ended."""

    at: float
    groups: Mapping[str, GroupRecord]
    members: Mapping[str, Sequence[JobRecord]]


class Course:
    """Carries out one batch of the plan.

    Args:
        batch: Of the plan.
        jobtrack: Of the run.
        acting: Does things to batches.
    """

    def __init__(self, batch: Batch, jobtrack: JobTrack, acting: Acting) -> None:
        self._batch = batch
        self._jobtrack = jobtrack
        self._acting = acting
        self.snapshots: list[Snapshot] = []
        """Taken each time before something runs again."""

    def run(self) -> None:
        """All of it.

        Raises:
            AssertionError: The batch does not end.
            Exception: Whatever should not have been raised.
        """
        began = time.monotonic()
        root = self._acting.dispatch(self._batch) or self._find(self._batch.name)
        if root is None:
            raise AssertionError(f"{self._batch.name} was never recorded")
        for act in self._batch.acts:
            time.sleep(act.after)  # drawn with the plan: it waits for nothing
            self._meddle(root, act)
        self._await_end(root)
        for act in self._batch.afterwards:
            self._again(root, act)
            self._await_end(root)
        logger.info("%s has ended after %.1f s", self._batch.name, time.monotonic() - began)

    def _meddle(self, root: Any, act: Act) -> None:
        group = self._within(root, act.target)
        if group is None:  # it does not exist yet, or never will
            return
        if act.deed is Deed.ADD:
            self._acting.add(group, act.target, act.more)
        elif act.deed is Deed.CANCEL:
            self._acting.cancel(group, act.target)
        else:
            members = [job for job in all_pages(group.members) if job.task != GROUP_TASK]
            if members:
                self._acting.cancel_member(members[int(act.choice * len(members))].id, act.target)

    def _again(self, root: Any, act: Act) -> None:
        self.snapshots.append(self._snapshot(root))
        group = self._within(root, act.target)
        if group is None:
            return
        if act.deed is Again.REOPEN:
            self._acting.reopen(group, act.target, act.more)
        else:
            which = {
                Again.RETRY_ALL: {},
                Again.RETRY_ONE: {"limit": 1},
                Again.RETRY_MENDED: {"exception": ConnectionError},
            }[Again(act.deed)]
            self._acting.retry(group, act.target, **which)

    def _snapshot(self, root: Any) -> Snapshot:
        groups = self._tree(root)
        return Snapshot(
            at=time.time(),
            groups={group.id: group.refresh().record for group in groups},
            members={group.id: all_pages(group.members) for group in groups},
        )

    def _await_end(self, root: Any) -> None:
        deadline = time.monotonic() + END_SECONDS
        while True:
            open_ones = [group for group in self._tree(root) if not has_ended(group.record)]
            if not open_ones:
                return
            if time.monotonic() > deadline:
                shown = "; ".join(describe(group.record) for group in open_ones)
                raise AssertionError(f"{self._batch.name} has not ended in {END_SECONDS:g} s: {shown}")
            time.sleep(LOOK_EVERY)

    def _within(self, root: Any, name: str) -> Any:
        if name == root.title:
            return root
        return next((group for group in self._tree(root) if group.title == name), None)

    def _tree(self, group: Any) -> list[Any]:
        """The group as it is now, and those that are members of it, at any depth."""
        found = [group.refresh()]
        children = all_pages(lambda **page: self._jobtrack.inspect.jobs(group=group, task=GROUP_TASK, **page))
        for job in children:
            found += self._tree(self._jobtrack.groups.get(job.id))
        return found

    def _find(self, title: str) -> Any:
        """The group of a dispatch that gave none, as it was broken off."""
        groups = all_pages(self._jobtrack.groups.list)
        return next((group for group in groups if group.title == title), None)


def has_ended(group: GroupRecord) -> bool:
    """Whether nothing is to come any more."""
    return group.is_over and (group.closed_at is not None or not group.needs_closing)


def describe(group: GroupRecord) -> str:
    """What somebody wants to know of a group that does not end."""
    closed = "closed" if group.closed_at else "not closed"
    return (
        f"{group.title} ({group.id}) generation {group.generation} is {group.state}, {group.totals}, "
        f"sealed {group.sealed}, completed at {group.completed_at}, {closed}"
    )
