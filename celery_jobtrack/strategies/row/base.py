"""What every part of a row-locking store stands on: one transaction, made again after a conflict."""

from __future__ import annotations

import random
import time
import uuid
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.strategies.contract import EVENT_CLAIM, Store
from celery_jobtrack.strategies.row.rows import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.grouping import Change
    from celery_jobtrack.strategies.row.rows import Rows

T = TypeVar("T")

CONFLICTS = 30
"""How often a transaction is made again before the store is called unavailable."""


class RowBase(Store):
    """Runs a function over ``Rows`` as one transaction."""

    def __init__(self) -> None:
        self.claimant = uuid.uuid4().hex
        self.delivers: Callable[[], bool] = lambda: True

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Rows]:
        """Open a transaction; leaving it commits, an exception rolls it back."""

    def _run(self, work: Callable[[Rows], T]) -> T:
        for attempt in range(CONFLICTS):
            try:
                with self.transaction() as rows:
                    return work(rows)
            except Conflict as conflict:
                last = conflict
                # A random wait, so that two who met do not meet again at once.
                time.sleep(random.uniform(0, 0.002 * (attempt + 1)))  # noqa: S311
        raise StoreUnavailable(f"{self.url}: {CONFLICTS} transactions in a row met a conflict: {last}")

    def _write_change(self, rows: Rows, before: GroupRecord, change: Change) -> tuple[EventRecord, ...]:
        """Write a group's change with its events, and claim the first one that may be delivered.

        A process that does not deliver leaves it unclaimed and only learns that there is one.
        """
        after, causes = change
        if after != before:
            rows.update_group(before, after)
        for cause in causes:
            rows.add_event(cause, after)
        if not causes:
            return ()
        return self._claim_next(rows, before.id, self.claimant if self.delivers() else None)

    def _claim_next(self, rows: Rows, group_id: str, claimed_by: str | None) -> tuple[EventRecord, ...]:
        """The group's earliest pending event unless somebody is at it or it must wait.

        It is claimed unless ``claimed_by`` is None.
        """
        event = rows.first_pending_event(group_id)
        now = rows.now()
        if event is None or (event.claimed_until is not None and event.claimed_until > now):
            return ()
        if claimed_by is None:
            return (event,)
        claimed = event.evolve(claimed_by=claimed_by, claimed_until=now + timedelta(seconds=EVENT_CLAIM))
        rows.update_event(event, claimed)
        return (claimed,)
