"""Sends chunks through Celery and kombu, one message after the other, on any broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from celery_jobtrack.integration.bulk.handed import Handed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from celery_jobtrack.integration.bulk.parcel import Parcel


class PlainSending:
    """Celery's own sender, over one producer and its channel.

    Where the transport can buffer (Redis, with kombu 5.7), a chunk is one batch of kombu's: then nothing
    is sent before all are put together, and a batch that breaks leaves all of them uncertain.

    Args:
        producer: Whose channel is used.
        send: ``send_task_message`` of Celery.
    """

    def __init__(self, producer: Any, send: Callable[..., Any]) -> None:
        self._producer = producer
        self._send = send

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
        except Exception as error:  # noqa: BLE001
            return Handed(sent=0, **{"uncertain" if done else "not_sent": parcels}, cause=error)
        return Handed(sent=len(parcels))

    def _one_by_one(self, parcels: Sequence[Parcel]) -> Handed:
        for number, parcel in enumerate(parcels):
            try:
                self._send(self._producer, parcel.name, parcel.message(), **parcel.options)
            except Exception as error:  # noqa: BLE001
                broken = isinstance(error, (OperationalError, *self._producer.connection.connection_errors))
                first_not_sent = number + 1 if broken else number
                return Handed(
                    sent=number,
                    uncertain=parcels[number:first_not_sent],
                    not_sent=parcels[first_not_sent:],
                    cause=error,
                )
        return Handed(sent=len(parcels))

    def _batch(self, size: int) -> AbstractContextManager[Any] | None:
        if not getattr(self._producer, "supports_batch_publish", False):
            return None
        batch: AbstractContextManager[Any] = self._producer.batch(max_size=max(1, size) * 20)
        return batch
