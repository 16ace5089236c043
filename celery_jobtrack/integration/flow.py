"""What a message is a part of, if canvas is a member of groups: a chain or a chord counts as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A job that a flow comes to: it is counted for all that goes before it."""

    id: str
    group_id: str | None = None
    """The group in which it is counted; None if it is in none, as a replaced job may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Jobs of canvas that are counted through the jobs they lead to.

    All messages of a flow carry the same one, and find their part in it by their id: a job that is on
    no level is counted nowhere, and if it does not succeed, all levels end with it. A job that is on a
    level is counted, and takes the levels after it along.
    """

    levels: tuple[tuple[Member, ...], ...] = ()
    """What it leads to: the nearest first. On one level stand the tasks of a group, which end apart."""
    within: tuple[str, ...] = ()
    """Further groups whose cancel flag holds for all of it."""
    asked_for: bool = False
    """Whether somebody gave it a group; otherwise its groups are those that Celery makes."""
    beside: str | None = None
    """A Celery group whose id the message carries as the body of its chord, without being in it."""

    def after(self, job_id: str) -> tuple[tuple[Member, ...], ...]:
        """The levels that a job leads to."""
        for number, level in enumerate(self.levels):
            if any(member.id == job_id for member in level):
                return self.levels[number + 1 :]
        return self.levels

    def group_of(self, job_id: str) -> str | None:
        """The group in which a job is counted; None if it is in none."""
        found = (member.group_id for level in self.levels for member in level if member.id == job_id)
        return next(found, None)

    def groups_around(self, job_id: str) -> tuple[str, ...]:
        """The groups of which a job is a part without being counted, and those around them."""
        ahead = (member.group_id for level in self.after(job_id) for member in level)
        return tuple(dict.fromkeys([group_id for group_id in ahead if group_id is not None] + [*self.within]))

    def members_after(self, job_id: str) -> tuple[str, ...]:
        """The jobs that end with a job which does not succeed."""
        return tuple(member.id for level in self.after(job_id) for member in level)

    def put_beside(self, group_id: str) -> Flow:
        """The same flow, for the body of a chord with this header."""
        return replace(self, beside=group_id)

    def dump(self) -> dict[str, Any]:
        """As it stands in a message."""
        dumped: dict[str, Any] = {
            "levels": [[[member.id, member.group_id] for member in level] for level in self.levels]
        }
        if self.within:
            dumped["within"] = list(self.within)
        if self.asked_for:
            dumped["asked"] = True
        if self.beside is not None:
            dumped["beside"] = self.beside
        return dumped

    @classmethod
    def load(cls, dumped: Mapping[str, Any] | None) -> Flow | None:
        """From a message."""
        if not isinstance(dumped, dict):
            return None
        return cls(
            levels=tuple(
                tuple(Member(id=job_id, group_id=group_id) for job_id, group_id in level)
                for level in dumped.get("levels") or ()
            ),
            within=tuple(dumped.get("within") or ()),
            asked_for=bool(dumped.get("asked")),
            beside=dumped.get("beside"),
        )
