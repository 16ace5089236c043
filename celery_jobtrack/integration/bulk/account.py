"""The running account of a dispatch."""

from __future__ import annotations

from dataclasses import dataclass

from celery_jobtrack.model.dispatched import Dispatched


@dataclass(slots=True)
class Account:
    """What became of the signatures that were read; see ``Dispatched`` for the fields."""

    group_id: str | None
    total: int = 0
    sent: int = 0
    known: int = 0
    not_sent: int = 0
    held_back: int = 0
    uncertain: int = 0

    def read(self) -> int:
        """One more signature was read; gives its place. Whatever is raised from here on, it is not sent."""
        self.total += 1
        self.not_sent += 1
        return self.total - 1

    def count(self, *, sent: int = 0, known: int = 0, held_back: int = 0, uncertain: int = 0) -> None:
        """Something has become of some that were read."""
        self.sent += sent
        self.known += known
        self.held_back += held_back
        self.uncertain += uncertain
        self.not_sent -= sent + known + held_back + uncertain

    def report(self) -> Dispatched:
        """As it is at this moment."""
        return Dispatched(
            total=self.total,
            sent=self.sent,
            known=self.known,
            not_sent=self.not_sent,
            held_back=self.held_back,
            uncertain=self.uncertain,
            group_id=self.group_id,
        )
