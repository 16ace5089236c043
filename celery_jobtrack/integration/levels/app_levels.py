"""The levels of one app, on the broker that it has."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.integration.levels.broker import Broker
from celery_jobtrack.integration.levels.numbers import (
    HIGHEST,
    MOST_LEVELS,
    in_one_queue,
    in_quorum_queue,
    native,
)
from celery_jobtrack.model.levels import DEFAULT

if TYPE_CHECKING:
    from celery_jobtrack.model.levels import Level, Levels


class AppLevels:
    """What the levels of an app are called at its broker. Opens nothing.

    Args:
        app: The app.
        levels: Its levels.

    Raises:
        ConfigurationError: Two levels would share a queue, or there are too many for RabbitMQ.
    """

    def __init__(self, app: Any, levels: Levels) -> None:
        self.app = app
        self.levels = levels
        self.default_queue: str = app.conf.task_default_queue
        self._refuse_shared_queues()

    @cached_property
    def broker(self) -> Broker:
        """The kind of broker."""
        return Broker.of(self.app)

    @property
    def share_one_queue(self) -> bool:
        """Whether all levels are in one queue, ordered by the broker: RabbitMQ mixes several queues."""
        return self.broker is Broker.RABBITMQ and not self.levels.is_weighted

    @property
    def one_queue(self) -> str:
        """That queue. A new one: what is there already has other arguments, which cannot be changed."""
        return f"{self.default_queue}.levels"

    @property
    def is_quorum(self) -> bool:
        """Whether that queue is a quorum queue, as the app's others are."""
        conf = self.app.conf
        return "quorum" in {conf.get("task_default_queue_type"), conf.get("task_create_missing_queue_type")}

    def queue_of(self, level: Level) -> str:
        """The queue that a level has for itself where it has one: its name, or the app's default queue."""
        return self.default_queue if level.name == DEFAULT else level.name

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The same for all levels, in order."""
        return tuple(map(self.queue_of, self.levels.levels))

    def consumed(self, queues: Any) -> list[str]:
        """The names of the levels that a worker takes from, in order.

        Args:
            queues: Celery's, with those selected from which it consumes.
        """
        consume_from = {queue.name for queue in queues.consume_from.values()}
        if self.share_one_queue and self.one_queue in consume_from:
            return [level.name for level in self.levels.levels]
        return [level.name for level in self.levels.levels if self.queue_of(level) in consume_from]

    def priority(self, queue: Any, given: Any) -> Any:
        """What the broker is given as priority of a message to this queue.

        Args:
            queue: As Celery routed it.
            given: What was asked for, in the broker's own terms.
        """
        if self.share_one_queue:
            level = self.levels.find(queue.alias) if queue.alias and queue.name == self.one_queue else None
            if level is None:
                return given
            rank = self.levels.levels.index(level)
            if self.is_quorum:
                return in_quorum_queue(self.levels, rank)
            return in_one_queue(self.levels, rank, given)
        if given is None and self.broker is Broker.REDIS and queue.name in self.queues:
            # A job without a number goes last everywhere; what Redis takes for none goes first.
            return native(0, self.broker)
        return given

    def _refuse_shared_queues(self) -> None:
        names = {self.queue_of(level): level.name for level in self.levels.levels}
        if len(names) < len(self.levels.levels):
            raise ConfigurationError(
                f"jobtrack_queues: {DEFAULT!r} is the queue {self.default_queue!r} (task_default_queue), and "
                f"there is a level of that name too; leave one of them out"
            )
        for level in self.levels.levels:
            for alias in level.aliases:
                if names.get(alias, level.name) != level.name:
                    raise ConfigurationError(
                        f"jobtrack_queues: {level.name!r} cannot have the alias {alias!r}, which is the "
                        f"queue of {names[alias]!r} (task_default_queue)"
                    )
        if len(self.levels.levels) > MOST_LEVELS and self.share_one_queue:
            raise ConfigurationError(
                f"jobtrack_queues: RabbitMQ orders {MOST_LEVELS} levels at most, not "
                f"{len(self.levels.levels)}; use numbers (with_priority, 0 to {HIGHEST}) within fewer levels"
            )
