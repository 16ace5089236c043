"""The callbacks of a group: ordinary jobs that are due when something becomes of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import CallbackKind

if TYPE_CHECKING:
    from collections.abc import Mapping

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
