"""The dispatch builder: a job put together step by step, then sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from celery.exceptions import QueueNotFound

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload, UnknownQueue
from celery_jobtrack.integration.claims import check_given, check_unique
from celery_jobtrack.integration.given_time import given_deadline, given_time
from celery_jobtrack.integration.levels import HIGHEST, Broker, native
from celery_jobtrack.model.names import check_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

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
        return self._with(eta=given_time(when, self.task.app))

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

    def unique_for(
        self, seconds: float | timedelta | None, *, until: str = "end", key: Any = None
    ) -> PendingDispatch:
        """Skip it if another job like it is queued or runs, whatever its task says.

        Args:
            seconds: For how long it keeps others away at most, from its dispatch on; None: however long it
                takes.
            until: ``"end"``, or ``"start"`` to let the next one be queued while this one runs.
            key: What makes jobs alike: a template over the task's arguments, or a function of them. None for
                all arguments.

        Raises:
            InvalidPayload: One is none of these.
        """
        unique = check_unique(seconds, until, key)
        return self._with(unique_for=unique.seconds, unique_until=unique.until, unique_key=unique.key)

    def deadline(
        self, when: datetime | timedelta | float | str, *, run_late: bool = False
    ) -> PendingDispatch:
        """Have it started by then: jobs with a deadline go earliest deadline first.

        Args:
            when: As for ``at``, or a ``timedelta`` from now.
            run_late: Whether it runs also when that has passed; otherwise it ends as ``REVOKED(expired)``.

        Raises:
            InvalidPayload: It is none of these, or it has passed.
        """
        return self._with(deadline=given_deadline(when, self.task.app), run_late=run_late)

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
