"""Sending the members of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration import bulk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery_jobtrack.features.groups.group import JobGroup
    from celery_jobtrack.integration.runtime import Runtime


class Nested(ABC):
    """What becomes a member of a group as a group of its own."""

    @abstractmethod
    def dispatch_in(self, parent: JobGroup) -> JobGroup:
        """Make the group and send its members, as a member of ``parent``."""


def several(signatures: Any) -> Iterable[Any]:
    """What was given, one by one; a single signature or batch is one. Raises InvalidPayload."""
    if isinstance(signatures, (Signature, Nested)):
        return (signatures,)
    if isinstance(signatures, (str, bytes, dict)) or not hasattr(signatures, "__iter__"):
        raise InvalidPayload(f"members are signatures, such as task.s(…), not {signatures!r}")
    found: Iterable[Any] = signatures
    return found


def send_members(runtime: Runtime, group: JobGroup, members: Iterable[Any], **options: Any) -> None:
    """Record and send signatures in chunks, and batches between them; a generator is read as they are sent.

    Args:
        runtime: Of the group's app.
        group: Whose members they become.
        members: Signatures of tasks that the app knows, or batches.
        options: As ``bulk.dispatch`` takes them.

    Raises:
        InvalidPayload: One of them cannot be a member. Chunks before it are sent.
        DispatchFailed: The iterable raises, or the broker.
    """
    items = iter(members)
    batches: list[Nested] = []

    def up_to_a_batch() -> Iterator[Any]:
        for item in items:
            if isinstance(item, Nested):
                batches.append(item)
                return
            yield item

    while True:
        bulk.dispatch(runtime, up_to_a_batch(), group_id=group.id, **options)
        if not batches:
            return
        batches.pop().dispatch_in(group)
