"""The callbacks of a group: ordinary jobs that are due when something becomes of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import CallbackKind, EventKind, GroupOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord

_NAMESPACE = uuid.UUID("6f0c3f0e-5f43-5a4b-9f0a-3d9a0c1e7b52")
"""Of our ids only: any fixed value would do, and this one must never change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One callback. ``kind`` and ``number`` identify it within its group."""

    kind: CallbackKind
    number: int
    """0, 1, …: the order in which callbacks of this kind were given."""
    task: str
    """The name of its task, for people."""
    signature: str
    """The Celery signature, serialised: see ``integration``."""
    every: int = 0
    """For ``PROGRESS``: after how many ended members it is due again."""

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        dumped = {"kind": self.kind.value, "n": self.number, "task": self.task, "signature": self.signature}
        return {**dumped, "every": self.every} if self.every else dumped

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Callback:
        """From what ``dump`` gave."""
        return cls(
            kind=CallbackKind(dumped["kind"]),
            number=dumped["n"],
            task=dumped["task"],
            signature=dumped["signature"],
            every=dumped.get("every", 0),
        )

    def job_id(self, namespace: str, group_id: str, generation: int, step: int = 0) -> str:
        """The id of its job: the same however often it is published, so that it runs once.

        Args:
            namespace: Of the store.
            group_id: Whose callback it is.
            generation: The generation of the group.
            step: For ``PROGRESS``: how many members had ended.
        """
        name = "/".join((namespace, group_id, str(generation), self.kind, str(self.number), str(step)))
        return str(uuid.uuid5(_NAMESPACE, name))


def may_be_a_callback(job_id: str) -> bool:
    """Whether an id could be that of a callback's job; Celery's own ids cannot."""
    try:
        return uuid.UUID(job_id).version == 5  # noqa: PLR2004 - made from a name
    except ValueError:
        return False


def due_at(event: EventRecord, callbacks: tuple[Callback, ...]) -> tuple[Callback, ...]:
    """The callbacks that an event makes due, in the order in which they were given."""
    return tuple(callback for callback in callbacks if _is_due_at(event, callback))


def _is_due_at(event: EventRecord, callback: Callback) -> bool:
    kind = callback.kind
    if event.kind is EventKind.STARTED:
        return kind is CallbackKind.BEFORE
    if event.kind is EventKind.FAILED:
        return kind is CallbackKind.CATCH
    if event.kind is EventKind.PROGRESSED:
        return kind is CallbackKind.PROGRESS and event.step % callback.every == 0
    succeeded = event.outcome is GroupOutcome.SUCCEEDED
    return kind is CallbackKind.FINALLY or (kind is CallbackKind.THEN and succeeded)


def due_in_all(group: GroupRecord) -> tuple[Callback, ...]:
    """The callbacks that the completed present generation of a group made due, those of progress apart.

    Of progress there may be very many, and nothing waits for them.
    """
    due = {CallbackKind.BEFORE, CallbackKind.FINALLY}
    if group.outcome is GroupOutcome.SUCCEEDED:
        due.add(CallbackKind.THEN)
    if group.first_failure is not None or group.incomplete:
        due.add(CallbackKind.CATCH)
    return tuple(callback for callback in group.callbacks if callback.kind in due)
