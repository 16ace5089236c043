"""Messages of one shape, given to a channel without all that leads there each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.integration.bulk.envelope import Blank
    from celery_jobtrack.integration.bulk.shape import Shaped


class Mould:
    """What a channel of any transport is given for the messages of one shape.

    Args:
        channel: The channel. The queue is declared there.
        blank: An envelope of the shape.
    """

    def __init__(self, channel: Any, blank: Blank) -> None:
        envelope = blank.envelope
        self._channel = channel
        self._address = {
            "exchange": envelope.exchange,
            "routing_key": envelope.routing_key,
            **envelope.options,
        }
        _, *self._about, self._headers, self._properties = envelope.prepared
        self._own_headers = _places(self._headers, blank.tokens)
        self._own_properties = _places(self._properties, blank.tokens)

    def publish(self, parcel: Shaped) -> None:
        """Give the message of one parcel to the channel."""
        values = {"id": parcel.job_id, "args": parcel.argsrepr, "kwargs": parcel.kwargsrepr}
        headers = {**self._headers, **{name: values[what] for name, what in self._own_headers}}
        properties = {**self._properties, **{name: values[what] for name, what in self._own_properties}}
        message = self._channel.prepare_message(parcel.body[2], *self._about, headers, properties)
        self._channel.basic_publish(message, **self._address)


def _places(common: Mapping[str, Any], tokens: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (name, tokens[value]) for name, value in common.items() if isinstance(value, str) and value in tokens
    ]
