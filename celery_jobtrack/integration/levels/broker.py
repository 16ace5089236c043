"""What kind of broker an app has, as far as order goes."""

from __future__ import annotations

from enum import Enum
from typing import Any

from kombu import Connection

_DRIVERS = {"amqp": "RABBITMQ", "redis": "REDIS"}


class Broker(Enum):
    """The kinds that differ."""

    RABBITMQ = "RabbitMQ"
    """Pushes from all queues at once; orders the messages of one queue."""
    REDIS = "Redis"
    """Is asked for the first of many lists; its lowest priority goes first."""
    OTHER = "other"
    """Its queues are looked into one after the other, as files and memory are."""

    @classmethod
    def of(cls, app: Any) -> Broker:
        """The kind of broker that an app publishes to. Opens nothing."""
        try:
            transport = transport_of(app)
        except ImportError:
            return cls.OTHER  # whoever connects is told what is missing
        return cls[_DRIVERS.get(transport.driver_type, "OTHER")]


def transport_of(app: Any) -> Any:
    """The class of kombu's transport. Raises ImportError where a library is missing."""
    conf = app.conf
    return Connection(conf.broker_write_url, transport=conf.broker_transport).get_transport_cls()
