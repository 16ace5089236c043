"""A job on its way: what is recorded of it, and the message that goes to the broker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from celery_jobtrack.integration.header import KEY, Header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery.app.amqp import task_message

    from celery_jobtrack.integration.publish import Publication
    from celery_jobtrack.model.requests import EnqueueRequest


class Parcel(Protocol):
    """A job that is to be recorded and then sent."""

    @property
    def request(self) -> EnqueueRequest:
        """What records it."""

    @property
    def name(self) -> str:
        """The task's name."""

    @property
    def options(self) -> Mapping[str, Any]:
        """How Celery sends it: what ``send_task_message`` takes besides the message."""

    @property
    def weight(self) -> int:
        """How many bytes it holds, about."""

    def message(self) -> task_message:
        """As Celery's sender takes it; a new one for each call."""


class Single:
    """A parcel whose message Celery made for it alone.

    Args:
        publication: The message that was collected.
    """

    def __init__(self, publication: Publication) -> None:
        self.request = publication.prepare()
        self.name = publication.name
        self.options: Mapping[str, Any] = publication.options
        self.made = publication.message
        """The message, with our header."""

    @property
    def weight(self) -> int:
        """How many bytes it holds, about."""
        return len(self.request.message or b"")

    def message(self) -> task_message:
        """A copy: who sends a message writes into it."""
        headers, properties, body, sent_event = self.made
        copy: task_message = self.made._replace(
            headers=dict(headers),
            properties=dict(properties),
            body=body,
            sent_event=None if sent_event is None else dict(sent_event),
        )
        return copy


class OfRun:
    """A parcel of a job that was sent before and whose next run this is."""

    def __init__(self, parcel: Parcel, run: int) -> None:
        self.request = replace(parcel.request, origin=replace(parcel.request.origin, run=run))
        self.name = parcel.name
        self.options = parcel.options
        self.weight = parcel.weight
        self._parcel = parcel
        self._run = run

    def message(self) -> task_message:
        """The parcel's message; a worker would refuse one of an earlier run."""
        message = self._parcel.message()
        header = Header.load(message.headers) or Header()
        message.headers[KEY] = replace(header, run=self._run).dump()
        return message
