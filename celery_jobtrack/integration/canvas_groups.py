"""Celery's own groups as groups of jobs: a group that is sent without ``job_group`` shows up by itself."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from celery.result import GroupResult

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, JobTrackError, StoreUnavailable
from celery_jobtrack.model.group import GroupRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

LEASE = 30.0
"""Seconds for which a group is held open after the last look at its sending."""
KEPT = 1000
"""Groups that are remembered: of those that are being sent, and of those that cannot be."""


@dataclass(slots=True)
class _Open:
    """A group while this process sends its tasks."""

    token: str | None
    """Of the hold; None if somebody else made the group."""
    renewed_at: float
    takes: bool = True


class CanvasGroups:
    """The groups that this process sends at the moment.

    Celery sends the tasks of a group one by one, and makes a ``GroupResult`` of them at the end. So a
    group is recorded with its first task and held open until then. If the process dies between, the
    hold ends by itself, and the group completes with what it has.

    Args:
        tracker: Gives the tracker.
        time_to_check: Gives the seconds between two recounts of a group.
        clock: Gives seconds that only grow.
    """

    def __init__(
        self,
        tracker: Callable[[], Tracker],
        time_to_check: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._time_to_check = time_to_check
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Open] = OrderedDict()

    def takes(self, group_id: str, title: str, payload: dict[str, Any]) -> bool:
        """Whether a group takes members; it is recorded when it is seen first.

        Args:
            group_id: The id that Celery gave it.
            title: What it is called.
            payload: What is known of it.
        """
        with self._lock:
            known = self._known.get(group_id)
        if known is None:
            known = self._begin(group_id, title, payload)
            with self._lock:
                self._known[group_id] = known
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
        elif known.token is not None and self._clock() - known.renewed_at > LEASE / 3:
            self._renew(group_id, known)
        return known.takes

    def is_sent(self, group_id: str) -> None:
        """All tasks of a group were sent: it completes when they have ended."""
        if not self._known:
            return
        with self._lock:
            known = self._known.pop(group_id, None)
        if known is None or known.token is None:
            return
        try:
            self._tracker().release_group(group_id, known.token)
        except JobTrackError as error:
            logger.warning("group %s is held open for up to %g s: %s", group_id, LEASE, error)

    def after_fork(self) -> None:
        """What the parent sends is the parent's."""
        self._lock = threading.Lock()
        self._known = OrderedDict()

    def _begin(self, group_id: str, title: str, payload: dict[str, Any]) -> _Open:
        now = self._clock()
        record = GroupRecord(
            id=group_id,
            title=title,
            payload=payload,
            time_to_check=self._time_to_check(),
            standing=False,
            sealed=True,
            created_at=datetime.now(timezone.utc),
        )
        try:
            created = self._tracker().create_group(record)
            if created.totals.total:
                return _Open(None, now, takes=not created.is_over)
            token = uuid.uuid4().hex
            self._tracker().hold_group(group_id, token, LEASE)
        except StoreUnavailable as error:
            logger.warning("a group of %s is sent without being recorded as one: %s", title, error)
        except (GroupCancelled, GroupCompleted):
            pass
        else:
            return _Open(token, now)
        return _Open(None, now, takes=False)

    def _renew(self, group_id: str, known: _Open) -> None:
        known.renewed_at = self._clock()
        try:
            self._tracker().hold_group(group_id, known.token or "", LEASE)
        except (GroupCancelled, GroupCompleted) as error:
            logger.info("group %s is no longer held open: %s", group_id, error)
        except JobTrackError as error:
            logger.warning("the hold on group %s is not renewed this time: %s", group_id, error)


class SentGroupResult(GroupResult):
    """Celery's ``GroupResult``, which says that it was made: a group's tasks are sent by then."""

    tell: ClassVar[Callable[[str], None]]

    def __init__(self, id: Any = None, results: Any = None, **more: Any) -> None:  # noqa: A002
        super().__init__(id, results, **more)
        type(self).tell(str(self.id))


def install(app: Any, is_sent: Callable[[str], None]) -> None:
    """Have an app's group results say that they are made. The class is the app's own, as it was.

    Args:
        app: The app.
        is_sent: Is called with the id of each group.
    """
    made = app.subclass_with_self(SentGroupResult, name="GroupResult", reverse="GroupResult")
    made.tell = staticmethod(is_sent)
    made.__module__, made.__doc__ = GroupResult.__module__, GroupResult.__doc__
    app.GroupResult = made
