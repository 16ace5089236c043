"""Sends chunks through Celery and kombu, one message after the other, on any broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_jobtrack.integration.bulk.envelope import Envelopes
from celery_jobtrack.integration.bulk.handed import Handed
from celery_jobtrack.integration.bulk.listeners import is_listened_to
from celery_jobtrack.integration.bulk.mould import Mould
from celery_jobtrack.integration.bulk.shape import Shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from celery_jobtrack.integration.bulk.parcel import Parcel
    from celery_jobtrack.integration.bulk.shape import Shape


_BROKEN = (OperationalError, ConnectionError, TimeoutError)
"""After these nobody knows whether the broker has the message, besides the errors that a transport names."""


class PlainSending:
    """Celery's own sender, over one producer and its channel; or what it does, learned once for each shape.

    Where the transport can buffer (Redis, with kombu 5.7), a chunk is one batch of kombu's: then nothing
    is sent before all are put together, and a batch that breaks leaves all of them uncertain.

    Args:
        producer: Whose channel is used.
        send: ``send_task_message`` of Celery.
        retries: Whether a message is sent again after its connection broke: ``task_publish_retry``.
    """

    def __init__(self, producer: Any, send: Callable[..., Any], *, retries: bool) -> None:
        self._producer = producer
        self._send = send
        self._retries = retries
        self._channel: Any = None
        self._envelopes: Envelopes
        self._moulds: dict[Shape, Mould | None] = {}

    def hand_over(self, parcels: Sequence[Parcel]) -> Handed:
        """Give a chunk to the broker; what goes wrong is in the answer."""
        batch = self._batch(len(parcels))
        if batch is None:
            return self._one_by_one(parcels)
        done = False
        try:
            with batch:
                for parcel in parcels:
                    self._send(self._producer, parcel.name, parcel.message(), **parcel.options)
                done = True
        except Exception as error:  # noqa: BLE001 - every transport has errors of its own; the caller raises it
            return Handed(sent=0, **{"uncertain" if done else "not_sent": parcels}, cause=error)
        return Handed(sent=len(parcels))

    def _one_by_one(self, parcels: Sequence[Parcel]) -> Handed:
        for number, parcel in enumerate(parcels):
            try:
                self._publish(parcel)
            except Exception as error:  # noqa: BLE001 - as above
                errors = (*_BROKEN, *self._producer.connection.connection_errors)
                broken = isinstance(error, errors)
                first_not_sent = number + 1 if broken else number
                return Handed(
                    sent=number,
                    uncertain=parcels[number:first_not_sent],
                    not_sent=parcels[first_not_sent:],
                    cause=error,
                )
        return Handed(sent=len(parcels))

    def _publish(self, parcel: Parcel) -> None:
        if isinstance(parcel, Shaped) and parcel.shape.is_silent and not is_listened_to():
            try:
                mould = self._mould(parcel.shape)
                if mould is not None:
                    mould.publish(parcel)
                    return
            except self._producer.connection.connection_errors:
                self._channel = None
                if not parcel.options.get("retry", self._retries):
                    raise
                # As kombu would: below it connects anew, and the message is sent once more.
        self._send(self._producer, parcel.name, parcel.message(), **parcel.options)

    def _mould(self, shape: Shape) -> Mould | None:
        channel = self._producer.channel
        if channel is not self._channel:
            # Of a connection that broke, queues have to be declared again, too.
            self._channel = channel
            self._envelopes = Envelopes(channel, self._send)
            self._moulds = {}
        if shape not in self._moulds:
            blank = self._envelopes.blank(shape)
            self._moulds[shape] = None if blank.is_compressed else Mould(channel, blank)
        return self._moulds[shape]

    def _batch(self, size: int) -> AbstractContextManager[Any] | None:
        if not getattr(self._producer, "supports_batch_publish", False):
            return None
        batch: AbstractContextManager[Any] = self._producer.batch(max_size=max(1, size) * 20)
        return batch
