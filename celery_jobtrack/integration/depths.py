"""How many messages a broker holds for queues, each transport asked in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils.json import loads

from celery_jobtrack.integration.levels.broker import Broker
from celery_jobtrack.model.queue import QueueDepth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_UNACKED = 1000
"""Redis keeps the unacknowledged messages of all queues together, whole: of more, nobody knows whose."""

NOT_FOUND = "404"
"""As kombu has it; RabbitMQ's is a number."""


def depths(app: Any, queues: Iterable[str]) -> Mapping[str, QueueDepth]:
    """What the broker holds for each of these queues.

    Args:
        app: The app.
        queues: Their names. Of one that is not there, the broker holds nothing.

    Raises:
        Exception: The broker's, if it cannot be asked.
    """
    queues = list(queues)
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1)
        unacked: Mapping[str, int] | None = None
        if Broker.of(app) is Broker.REDIS:
            unacked = _unacked_in_redis(connection.default_channel)
        return {
            queue: QueueDepth(
                ready=ready(connection, queue), unacked=None if unacked is None else unacked.get(queue, 0)
            )
            for queue in queues
        }


def ready(connection: Any, queue: str) -> int:
    """How many messages no worker has fetched: 0 if there is no such queue.

    Args:
        connection: To the broker.
        queue: The queue's name.

    Raises:
        Exception: The broker's, if it cannot be asked.
    """
    # A channel for each: RabbitMQ closes the one on which a queue is asked for that is not there.
    with connection.channel() as channel:
        if connection.transport.driver_type == "redis":
            # To kombu before 5.7, with a ``global_keyprefix``, none of its queues is there.
            return int(channel._size(queue))  # noqa: SLF001
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors as error:
            if str(getattr(error, "reply_code", NOT_FOUND)) != NOT_FOUND:
                raise
            return 0


def _unacked_in_redis(channel: Any) -> Mapping[str, int] | None:
    """By queue, or None if they are too many."""
    with channel.conn_or_acquire() as client:
        if client.hlen(channel.unacked_key) > MOST_UNACKED:
            return None
        # kombu's client puts the prefix before the keys of the commands that kombu uses.
        kept = client.hvals(f"{channel.global_keyprefix}{channel.unacked_key}")
    counted: dict[str, int] = {}
    for each in kept:
        _message, exchange, routing_key = loads(each)
        # What went to a named exchange is back in every queue that is bound there.
        for queue in channel._lookup(exchange, routing_key) if exchange else (routing_key,):  # noqa: SLF001
            counted[queue] = counted.get(queue, 0) + 1
    return counted
