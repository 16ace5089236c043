"""Sends chunks to Redis in one round trip, as the envelopes that kombu's transport would store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.bulk.envelope import Envelopes
from celery_jobtrack.integration.bulk.listeners import is_listened_to
from celery_jobtrack.integration.bulk.load import Load
from celery_jobtrack.integration.bulk.redis_storing import Pattern, is_straight, write
from celery_jobtrack.integration.bulk.shape import Shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celery_jobtrack.integration.bulk.envelope import Envelope
    from celery_jobtrack.integration.bulk.handed import Handed
    from celery_jobtrack.integration.bulk.parcel import Parcel
    from celery_jobtrack.integration.bulk.redis_storing import Written
    from celery_jobtrack.integration.bulk.shape import Shape

_METHODS = (
    "basic_publish",
    "prepare_message",
    "encode_body",
    "_inplace_augment_message",
    "_get_message_priority",
    "_q_for_pri",
    "_put",
    "_next_delivery_tag",
)


def is_plain_redis(channel: Any) -> bool:
    """Whether kombu's own Redis transport is behind a channel, and nobody has changed how it stores."""
    try:
        from kombu.transport.redis import Channel
    except ImportError:
        return False
    return isinstance(channel, Channel) and all(
        getattr(type(channel), name) is getattr(Channel, name) and name not in vars(channel)
        for name in _METHODS
    )


class RedisSending:
    """One ``LPUSH`` for each queue and chunk, all in one round trip.

    A command is wholly done or not at all. If the connection breaks, the chunk is sent again as
    ``task_publish_retry_policy`` says: a second copy of a job is refused by its start. While somebody
    listens to the signals of publishing, each message is put together by Celery, which calls the
    listeners as it goes. A message that does not go straight into one queue is left to kombu.

    Args:
        producer: Whose connection is used.
        send: ``send_task_message`` of Celery.
        patience: ``task_publish_retry_policy``.
    """

    def __init__(self, producer: Any, send: Callable[..., Any], patience: Mapping[str, Any]) -> None:
        self._producer = producer
        self._send = send
        self._patience = patience
        self._channel: Any = None
        self._envelopes: Envelopes
        self._patterns: dict[Shape, Pattern | None] = {}

    def hand_over(self, parcels: Sequence[Parcel]) -> Handed:
        """Give a chunk to the broker; what goes wrong is in the answer."""
        load = Load(parcels)
        connection = self._producer.connection
        try:
            connection.ensure(self._producer, lambda: self._attempt(load), **self._patience)()
        except Exception as error:  # noqa: BLE001 - every transport has errors of its own
            return load.account(error)
        return load.account(None)

    def _attempt(self, load: Load) -> None:
        channel = self._producer.channel
        if channel is not self._channel:
            # Of a connection that broke, queues have to be declared again, too.
            self._channel = channel
            self._envelopes = Envelopes(channel, self._send)
            self._patterns = {}
        for number in load.unwritten():
            load.written[number] = self._write(load.parcels[number])
        if load.answers is None:
            with channel.conn_or_acquire() as client:
                # Who cannot connect has sent nothing; after this nobody knows.
                client.ping()
                pipeline = client.pipeline(transaction=False)
                for key, texts in load.commands():
                    pipeline.lpush(key, *texts)
                load.is_on_its_way = True
                load.answers = pipeline.execute(raise_on_error=False)
        for envelope in load.others():
            channel.basic_publish(
                envelope.message, envelope.exchange, envelope.routing_key, **envelope.options
            )
            load.others_sent += 1

    def _write(self, parcel: Parcel) -> Written | Envelope:
        if isinstance(parcel, Shaped) and parcel.shape.is_silent and not is_listened_to():
            shape = parcel.shape
            if shape not in self._patterns:
                self._patterns[shape] = self._pattern(shape)
            pattern = self._patterns[shape]
            if pattern is not None:
                return pattern.write(parcel)
        envelope = self._envelopes.make(parcel.name, parcel.message(), parcel.options)
        return write(self._channel, envelope) if is_straight(self._channel, envelope) else envelope

    def _pattern(self, shape: Shape) -> Pattern | None:
        blank = self._envelopes.blank(shape)
        if blank.is_compressed or not is_straight(self._channel, blank.envelope):
            return None
        return Pattern(self._channel, blank)
