"""Sending the members of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration import bulk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_jobtrack.features.groups.group import JobGroup
    from celery_jobtrack.integration.runtime import Runtime


class Nested(ABC):
    """What becomes a member of a group as a group of its own."""

    @abstractmethod
    def check(self) -> None:
        """See that its members can be sent, as far as that is known without reading an iterator."""

    @abstractmethod
    def dispatch_in(self, parent: JobGroup) -> JobGroup:
        """Make the group and send its members, as a member of ``parent``."""


class Once:
    """What can be read one time only, as a generator.

    Args:
        items: An iterator.
    """

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self.is_read = False

    def __iter__(self) -> Iterator[Any]:
        self.is_read = True
        return self._items


def several(signatures: Any) -> Iterable[Any]:
    """What was given, one by one; a single signature or batch is one. Raises InvalidPayload."""
    if isinstance(signatures, (Signature, Nested)):
        return (signatures,)
    if isinstance(signatures, (str, bytes, dict)) or not hasattr(signatures, "__iter__"):
        raise InvalidPayload(f"members are signatures, such as task.s(…), not {signatures!r}")
    found: Iterable[Any] = signatures
    return Once(signatures) if isinstance(signatures, Iterator) else found


def check_members(runtime: Runtime, members: Iterable[Any]) -> None:
    """Find members that cannot be sent before anything is written, if they can be read twice.

    Raises:
        InvalidPayload: One of them is no signature of a known task; or they were read before.
    """
    if isinstance(members, Once) and members.is_read:
        raise InvalidPayload(
            "the members of this batch came from a generator, and an earlier dispatch has read it: nothing "
            "is left to send. Give a list, or begin a new batch with a new generator"
        )
    if not isinstance(members, (list, tuple)):
        return
    for number, member in enumerate(members):
        if isinstance(member, Nested):
            member.check()
        else:
            bulk.check_one(runtime, member, number)


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
