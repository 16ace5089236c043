"""Chooses how the chunks of a dispatch are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from celery.backends.base import Backend

from celery_jobtrack.integration.bulk.handed import Handed
from celery_jobtrack.integration.bulk.plain_sending import PlainSending
from celery_jobtrack.integration.bulk.redis_sending import RedisSending, is_plain_redis
from celery_jobtrack.integration.bulk.shape import Shaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.integration.bulk.parcel import Parcel

_OF_REDIS = ("celery.backends.redis", "RedisBackend.on_task_call")
"""By its name: without redis-py its module cannot be imported."""
_WAITS = ("max_retries", "interval_start", "interval_step", "interval_max")


class Sending(Protocol):
    """Gives chunks to the broker."""

    def hand_over(self, parcels: Sequence[Parcel]) -> Handed:
        """Give a chunk to the broker; what goes wrong is in the answer."""


class Broker:
    """An app's broker, through a producer of its pool, which is held for one chunk at a time.

    What makes the signatures may send messages, too, and the pool may have one producer only.

    Args:
        app: The app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._producer: Any = None
        self._patience = _patience(app.conf)
        self._sending: Sending | None = None
        asked = type(app.backend).on_task_call
        # A Redis backend subscribes here to the end of a job whose result is waited for, and nobody waits
        # for one of these; who makes an AsyncResult of one subscribes then.
        self._tells_backend = asked is not Backend.on_task_call and _named(asked) != _OF_REDIS

    def hand_over(self, parcels: Sequence[Parcel]) -> Handed:
        """Give a chunk to the broker; what goes wrong is in the answer."""
        with self._app.producer_or_acquire() as producer:
            try:
                sending = self._through(producer, parcels)
            except Exception as error:  # noqa: BLE001 - every transport has errors of its own
                return Handed(sent=0, not_sent=parcels, cause=error)
            return sending.hand_over(parcels)

    def _through(self, producer: Any, parcels: Sequence[Parcel]) -> Sending:
        # A broker that is not there is found out before anything is on its way.
        producer.connection.ensure_connection(**self._patience)
        if self._sending is None or self._producer is not producer:
            self._producer = producer
            self._sending = self._choose()
        if self._tells_backend:
            self._tell_backend(parcels)
        return self._sending

    def _choose(self) -> Sending:
        send = self._app.amqp.send_untracked
        if self._app.conf.task_publish_retry:
            # As a single message does it: where kombu connects again by itself, it has this patience.
            self._producer.connection.transport_options.update(self._patience)
        if is_plain_redis(self._producer.channel):
            return RedisSending(self._producer, send, self._patience)
        return PlainSending(self._producer, send, retries=bool(self._app.conf.task_publish_retry))

    def _tell_backend(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            if isinstance(parcel, Shaped) and not parcel.shape.ignores_result:
                self._app.backend.on_task_call(self._producer, parcel.job_id)


def _patience(conf: Any) -> dict[str, Any]:
    """How often a broken connection is tried, and with which waits, as for a single message."""
    if not conf.task_publish_retry:
        return {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    policy = conf.task_publish_retry_policy
    return {name: policy[name] for name in _WAITS if name in policy}


def _named(function: Any) -> tuple[str, str]:
    return function.__module__, function.__qualname__
