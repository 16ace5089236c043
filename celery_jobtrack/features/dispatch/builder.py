"""The dispatch builder: a job put together step by step, then sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from celery.exceptions import QueueNotFound

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload, UnknownQueue
from celery_jobtrack.integration.claiming import check_given
from celery_jobtrack.integration.levels import HIGHEST, Broker, native
from celery_jobtrack.model.names import check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.integration.result import TrackedResult


@dataclass(frozen=True, slots=True)
class PendingDispatch:
    """A job that is not sent yet. Every step gives a new one, so a half-built one can be used again.

    Example::

        resize.job("a.png").on_queue("high").in_group(group).delay_for(60).dispatch()
    """

    task: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def on_queue(self, name: str) -> PendingDispatch:
        """Send it to this queue, or to this level of ``jobtrack_queues``."""
        return self._with(queue=check_name("a queue", name, InvalidPayload))

    def in_group(self, group: Any) -> PendingDispatch:
        """Make it a member of a group, given as such or by its id."""
        return self._with(job_group=group)

    def at(self, when: datetime | float | str) -> PendingDispatch:
        """Run it at a time, or at once if that has passed.

        Args:
            when: A ``datetime``, an ISO 8601 string, or seconds since 1970. Naive means the app's
                time zone.

        Raises:
            InvalidPayload: It is none of these.
        """
        return self._with(eta=_moment(when, self.task.app))

    def delay_for(self, seconds: float | timedelta) -> PendingDispatch:
        """Run it after so many seconds."""
        return self._with(countdown=check_seconds("delay_for", seconds, InvalidPayload))

    def with_priority(self, priority: int) -> PendingDispatch:
        """Give it a priority from 0 to 9; 9 goes first on every broker that has priorities.

        Raises:
            InvalidPayload: It is not a whole number from 0 to 9.
        """
        if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= HIGHEST:
            raise InvalidPayload(f"a priority is a whole number from 0 to {HIGHEST}, not {priority!r}")
        return self._with(priority=native(priority, Broker.of(self.task.app)))

    def tagged(self, *tags: str) -> PendingDispatch:
        """Add tags, to list jobs by."""
        checked = [check_name("a tag", tag, InvalidPayload) for tag in tags]
        return self._with(tags=[*self.options.get("tags", ()), *checked])

    def max_retries(self, count: int) -> PendingDispatch:
        """Let this one job be retried so often, whatever its task says."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InvalidPayload(f"max_retries is a whole number from 0, not {count!r}")
        return self._with(jobtrack_max_retries=count)

    def without_overlapping(self, overlap: Any = True) -> PendingDispatch:
        """Never run it beside another job of the same key, whatever its task says.

        Args:
            overlap: True for the same task with the same arguments, an ``Overlap`` for more, False to let
                this one overlap.

        Raises:
            InvalidPayload: It is none of these.
        """
        return self._with(without_overlapping=check_given(overlap))

    def dispatch(self) -> TrackedResult:
        """Record the job and send it.

        Raises:
            InvalidPayload: The arguments cannot be sent.
            UnknownQueue: The app has no such queue, and may not create one: it has ``jobtrack_queues``,
                or ``task_create_missing_queues`` is False.
            UnknownGroup, GroupCompleted, GroupCancelled: The group takes no members.
            GroupNotSet: The task runs in a group only.
            Overlapping: Another job has the lock, and ``on_conflict="raise"``.
        """
        try:
            result: TrackedResult = self.task.apply_async(self.args, dict(self.kwargs), **self.options)
        except QueueNotFound as error:
            queue = self.options.get("queue")
            raise UnknownQueue(
                f"the app has no queue {queue!r} and may not create one (task_create_missing_queues): "
                f"add it to task_queues"
            ) from error
        return result

    def _with(self, **options: Any) -> PendingDispatch:
        return replace(self, options={**self.options, **options})


def _moment(when: Any, app: Any) -> datetime:
    if isinstance(when, bool) or not isinstance(when, (datetime, int, float, str)):
        raise InvalidPayload(f"a time is a datetime, an ISO 8601 string or seconds since 1970, not {when!r}")
    try:
        if isinstance(when, str):
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
        if isinstance(when, datetime):
            return when if when.tzinfo else when.replace(tzinfo=app.timezone)
        return datetime.fromtimestamp(when, timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidPayload(f"{when!r} is not a time: {error}; write 2026-12-31 10:00:00") from error
