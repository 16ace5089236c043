"""What became of a bulk dispatch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What became of the signatures that a bulk dispatch has read so far."""

    total: int = 0
    """How many were read: the sum of the five below."""
    sent: int = 0
    """How many the broker took."""
    known: int = 0
    """How many were recorded before, under the same key or id; they were not sent again."""
    not_sent: int = 0
    """How many were certainly not sent. Those that were recorded have ended as FAILURE(publish_failed)."""
    held_back: int = 0
    """How many wait in the store, as they are due later or have a deadline, or were skipped as one like them
    is there (``unique_for``)."""
    uncertain: int = 0
    """How many the broker may have or not have. They stay ENQUEUED: the checker sends what is missing."""
    group_id: str | None = None
    """The group that they are members of."""

    def __str__(self) -> str:
        about = f"{self.sent} of {self.total} sent"
        for count, words in (
            (self.known, "known before"),
            (self.not_sent, "not sent"),
            (self.held_back, "held back"),
            (self.uncertain, "uncertain"),
        ):
            if count:
                about += f", {count} {words}"
        return about
