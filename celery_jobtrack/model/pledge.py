"""What a filler gives beside its hold, so that its death is not taken for its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MARK = "pledge"
LASTING = 30 * 24 * 3600.0
"""Seconds for which a pledge holds a group open. It is the checker who ends that of a filler that died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pledge:
    """A second hold on a group, by which its filler says that it will end the first one itself.

    A hold that has run out lets a group complete. That of a batch which is not sealed tells nothing more by
    that: the batch waits for its seal. But nothing seals a standing group, or a batch a second time, so these
    would succeed without what their filler had yet to send. The pledge outlives the hold, and says for which
    generation it was given.
    """

    generation: int
    hold: str
    """The token of the filler's hold."""

    @property
    def token(self) -> str:
        """Under which it is kept, as a hold."""
        return f"{_MARK}:{self.generation}:{self.hold}"

    def is_kept(self, holds: Mapping[str, datetime], now: datetime) -> bool:
        """Whether its filler has been heard of in time."""
        until = holds.get(self.hold)
        return until is not None and until > now


def pledges(holds: Mapping[str, datetime]) -> list[Pledge]:
    """The pledges among the holds on a group."""
    found = []
    for token in holds:
        mark, _, rest = token.partition(":")
        generation, _, hold = rest.partition(":")
        if mark == _MARK and generation.isdecimal():
            found.append(Pledge(generation=int(generation), hold=hold))
    return found


def without_pledges(holds: Mapping[str, datetime]) -> dict[str, datetime]:
    """The holds on a group that are no pledges."""
    given = {pledge.token for pledge in pledges(holds)}
    return {token: until for token, until in holds.items() if token not in given}
