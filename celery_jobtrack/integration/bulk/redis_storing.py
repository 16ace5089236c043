"""Messages as kombu's Redis transport stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils.json import dumps

from celery_jobtrack.integration.bulk.gaps import Gaps, quoted, token

if TYPE_CHECKING:
    from celery_jobtrack.integration.bulk.envelope import Blank, Envelope
    from celery_jobtrack.integration.bulk.shape import Shaped


class Written(NamedTuple):
    """A message as it is stored: into which list of Redis, and its text."""

    key: str
    text: str


def is_straight(channel: Any, envelope: Envelope) -> bool:
    """Whether an envelope goes into one queue, and nothing else has to be done with it."""
    # As kombu's basic_publish and _put ask.
    return not envelope.exchange and envelope.routing_key not in getattr(channel, "_expires", ())


def write(channel: Any, envelope: Envelope) -> Written:
    """A straight envelope as the channel would store it."""
    message = envelope.message
    channel._inplace_augment_message(message, envelope.exchange, envelope.routing_key)  # noqa: SLF001
    priority = channel._get_message_priority(message, reverse=False)  # noqa: SLF001
    return Written(channel._q_for_pri(envelope.routing_key, priority), dumps(message))  # noqa: SLF001


class Pattern:
    """The stored messages of one shape.

    Args:
        channel: The channel.
        blank: A straight envelope of the shape.
    """

    def __init__(self, channel: Any, blank: Blank) -> None:
        self._channel = channel
        self._key = write(channel, blank.envelope).key
        message = blank.envelope.message
        body, tag = token(), message["properties"]["delivery_tag"]
        self._gaps = Gaps(dumps({**message, "body": body}), {**blank.tokens, body: "body", tag: "tag"})

    def write(self, parcel: Shaped) -> Written:
        """The message of one parcel, as kombu would write it."""
        body, _ = self._channel.encode_body(parcel.body[2], self._channel.body_encoding)
        values = {
            "id": quoted(parcel.job_id),
            "args": quoted(parcel.argsrepr),
            "kwargs": quoted(parcel.kwargsrepr),
            "body": quoted(body),
            "tag": quoted(self._channel._next_delivery_tag()),  # noqa: SLF001
        }
        return Written(self._key, self._gaps.fill(values))
