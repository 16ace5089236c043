"""Sending the members of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.integration.signatures import check_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


def send_members(
    runtime: Runtime, group: JobGroup, signatures: Iterable[Any], options: Mapping[str, Any]
) -> None:
    """Record and send one after the other; a generator is asked for the next when one is sent.

    Args:
        runtime: Of the group's app.
        group: Whose members they become.
        signatures: Of tasks that the app knows, or batches.
        options: Of ``apply_async``, for those that do not say otherwise themselves.

    Raises:
        InvalidPayload: One of them cannot be a member. Those before it are sent.
        Exception: Whatever the iterable raises, or sending.
    """
    for number, member in enumerate(signatures, 1):
        if isinstance(member, Nested):
            member.dispatch_in(group)
            continue
        if not getattr(member, "subtask_type", None):
            check_signature(runtime, member, f"member {number} of group {group.title!r}")
        usual = {name: value for name, value in options.items() if name not in member.options}
        member.apply_async(job_group=group, **usual)
