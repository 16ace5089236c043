"""What tracking needs of the outside world, passed in: Celery is behind these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.queue import QueueDepth
    from celery_jobtrack.model.retention import Retentions
    from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy


class Ports(Protocol):
    """The app, as far as tracking sees it."""

    @property
    def sender(self) -> Any:
        """The sender of every signal."""

    @property
    def namespace(self) -> str:
        """Whose jobs and groups these are."""

    def strategies_for(self, task: str) -> Iterable[TrackingStrategy]:
        """The plain strategies that are told about jobs of a task."""

    def retentions(self) -> Retentions:
        """How long what has ended is kept, as it is set now."""

    def group_for(self, record: GroupRecord) -> Any:
        """The group as listeners get it."""

    def delivers_here(self) -> bool:
        """Whether this process (or the job it runs eagerly) may call the listeners of groups."""

    def request_delivery(self) -> None:
        """Ask a process that may deliver to do so."""

    def nothing_kept(self) -> bool:
        """Whether all that happened on this machine is recorded, and nothing waits in its spool."""

    def publish_again(self, job: JobRecord, message: bytes) -> None:
        """Send a job's message from the store to the broker."""

    def publish_callback(self, group: GroupRecord, callback: Callback, job_id: str, *, run: int = 1) -> None:
        """Record and send the job of a group's callback, as this run of it.

        Raises:
            JobTrackError, ValueError, LookupError, TypeError: It can never be sent as it is.
            Exception: The broker's: it can be sent later.
        """

    def followers(self, message: bytes) -> tuple[str, ...]:
        """Ids of jobs that only this message's success would publish: its chain's, its chord's body."""

    def queue_is_empty(self, queue: str) -> bool | None:
        """Whether the broker holds no message for a queue; None when it cannot tell."""

    def queue_depth(self, queue: str) -> int | None:
        """How many messages the broker holds for a queue; None when it cannot tell."""

    def queue_depths(self, queues: Iterable[str]) -> Mapping[str, QueueDepth]:
        """What the broker says of each of these queues. Raises what the broker raises."""

    def declared_queues(self) -> Iterable[str]:
        """The names of the app's queues."""

    def levels_by_queue(self) -> Mapping[str, tuple[str, ...]]:
        """The queues of levels, in order, with the names of the levels that are in each."""

    def consumed_queues(self) -> Mapping[str, frozenset[str]]:
        """By the names of the workers that answer, the queues from which they consume."""

    def held_by_workers(self) -> frozenset[str]:
        """Ids of jobs whose messages workers have fetched and not begun, as far as workers answer."""

    def tell_backend(self, job: JobRecord, message: bytes | None) -> None:
        """Tell Celery's result backend of an end that Celery does not know, so that nobody waits."""
