"""Messages as kombu gives them to a channel, made by Celery and kombu and not sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Producer

from celery_jobtrack.integration.bulk.gaps import token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery.app.amqp import task_message

    from celery_jobtrack.integration.bulk.shape import Shape


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as kombu gives it to a channel."""

    message: Any
    exchange: str
    routing_key: str
    options: Mapping[str, Any]
    """What else ``basic_publish`` is given."""
    prepared: tuple[Any, ...]
    """What ``prepare_message`` made it of: body, priority, content type, encoding, headers, properties."""


class _Keeping:
    """Stands before a channel, and keeps the first message that is published instead of sending it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._prepared: tuple[Any, ...] = ()
        self.kept: Envelope | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def prepare_message(self, *arguments: Any) -> Any:
        # The channel writes into headers and properties.
        self._prepared = tuple(dict(part) if isinstance(part, dict) else part for part in arguments)
        return self._channel.prepare_message(*arguments)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **options: Any) -> Any:
        if self.kept is not None:  # the monitoring event of the same job
            return self._channel.basic_publish(message, exchange, routing_key, **options)
        self.kept = Envelope(message, exchange, routing_key, options, self._prepared)
        return None


class Envelopes:
    """Makes envelopes for one channel, declaring queues as it goes.

    Args:
        channel: The channel.
        send: ``send_task_message`` of Celery: it calls the listeners of ``before_task_publish`` and
            ``after_task_publish``.
    """

    def __init__(self, channel: Any, send: Callable[..., Any]) -> None:
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

    def blank(self, shape: Shape) -> Blank:
        """An envelope of a shape, with tokens in the place of what differs from job to job."""
        tokens = {name: token() for name in ("id", "args", "kwargs")}
        message = shape.message(tokens["id"], (), {}, argsrepr=tokens["args"], kwargsrepr=tokens["kwargs"])
        return Blank(self.make(shape.name, message, shape.options), {tokens[name]: name for name in tokens})


class Blank(NamedTuple):
    """An envelope to be filled in."""

    envelope: Envelope
    tokens: Mapping[str, str]
    """Of each token, what stands in its place."""

    @property
    def is_compressed(self) -> bool:
        """Whether its body is not sent as it was serialised."""
        return bool(self.envelope.prepared[4].get("compression"))
