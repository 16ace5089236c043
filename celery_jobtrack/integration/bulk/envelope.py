"""Messages as kombu's Redis transport stores them, made by kombu and not sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Producer
from kombu.utils.json import dumps

from celery_jobtrack.integration.bulk.gaps import Gaps, quoted, token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery.app.amqp import task_message

    from celery_jobtrack.integration.bulk.shape import Shape, Shaped


class _Keeping:
    """Stands before a channel, and keeps the first message that is published instead of sending it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.kept: Envelope | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **options: Any) -> Any:
        if self.kept is not None:  # the monitoring event of the same job
            return self._channel.basic_publish(message, exchange, routing_key, **options)
        self.kept = Envelope(message, exchange, routing_key)
        return None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as kombu gives it to a channel."""

    message: dict[str, Any]
    exchange: str
    routing_key: str


class Envelopes:
    """Makes envelopes for one channel of kombu's Redis transport, declaring queues as it goes.

    Args:
        channel: The channel.
        send: ``send_task_message`` of Celery: it calls the listeners of ``before_task_publish`` and
            ``after_task_publish``.
    """

    def __init__(self, channel: Any, send: Callable[..., Any]) -> None:
        self._channel = channel
        keeping: Any = _Keeping(channel)
        self._keeping = keeping
        self._producer = Producer(keeping)
        self._send = send

    def make(self, name: str, message: task_message, options: Mapping[str, Any]) -> Envelope:
        """One envelope. Its queue is declared."""
        self._keeping.kept = None
        # Whoever calls this repeats what a broken connection interrupts.
        self._send(self._producer, name, message, **{**options, "retry": False})
        kept: Envelope = self._keeping.kept
        return kept

    def is_straight(self, envelope: Envelope) -> bool:
        """Whether an envelope goes into one queue, and nothing else has to be done with it."""
        # As kombu's basic_publish and _put ask.
        return not envelope.exchange and envelope.routing_key not in getattr(self._channel, "_expires", ())

    def write(self, envelope: Envelope) -> Written:
        """A straight envelope as the channel would store it."""
        channel, message = self._channel, envelope.message
        channel._inplace_augment_message(message, envelope.exchange, envelope.routing_key)  # noqa: SLF001
        priority = channel._get_message_priority(message, reverse=False)  # noqa: SLF001
        return Written(channel._q_for_pri(envelope.routing_key, priority), dumps(message))  # noqa: SLF001

    def pattern(self, shape: Shape) -> Pattern | None:
        """What all envelopes of a shape have in common; None if they need be made one by one."""
        tokens = {name: token() for name in ("id", "args", "kwargs")}
        message = shape.message(tokens["id"], (), {}, argsrepr=tokens["args"], kwargsrepr=tokens["kwargs"])
        envelope = self.make(shape.name, message, shape.options)
        if not self.is_straight(envelope) or envelope.message["headers"].get("compression"):
            return None
        return Pattern(envelope, self.write(envelope), {tokens[name]: name for name in tokens}, self._channel)


class Written(NamedTuple):
    """A message as it is stored: into which list of Redis, and its text."""

    key: str
    text: str


class Pattern:
    """The envelopes of one shape.

    Args:
        envelope: One of them, with tokens in the place of what differs.
        written: The same, written.
        tokens: The name of each token's gap.
        channel: The channel.
    """

    def __init__(self, envelope: Envelope, written: Written, tokens: Mapping[str, str], channel: Any) -> None:
        self._key = written.key
        self._channel = channel
        body, tag = token(), envelope.message["properties"]["delivery_tag"]
        text = dumps({**envelope.message, "body": body})
        self._gaps = Gaps(text, {**tokens, body: "body", tag: "tag"})

    def write(self, parcel: Shaped) -> Written:
        """The envelope of one parcel, as kombu would write it."""
        body, _ = self._channel.encode_body(parcel.body[2], self._channel.body_encoding)
        values = {
            "id": quoted(parcel.job_id),
            "args": quoted(parcel.argsrepr),
            "kwargs": quoted(parcel.kwargsrepr),
            "body": quoted(body),
            "tag": quoted(self._channel._next_delivery_tag()),  # noqa: SLF001
        }
        return Written(self._key, self._gaps.fill(values))
