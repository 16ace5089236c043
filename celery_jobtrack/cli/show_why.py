"""Why a group has not finished, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from celery_jobtrack.cli.clean import clean
from celery_jobtrack.cli.styles import state_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from celery_jobtrack.model.explanation import GroupExplanation, MemberExplanation


def explanation(found: GroupExplanation) -> Group:
    """A sentence per line: about the group, then about each job that is outstanding."""
    title = Text.assemble(
        (clean(found.title), "bold"), f"  {found.group_id}  ", state_text(found.status.state)
    )
    return Group(title, *_lines(found))


def _lines(found: GroupExplanation) -> Iterator[RenderableType]:
    for sentence in found.said:
        yield _indented(Text(clean(sentence)))
    for callback in found.callbacks:
        line = Text(f"{callback.kind} {clean(callback.task)} ({callback.job_id}): {clean(callback.said)}")
        yield _indented(line)
    for member in found.members:
        yield from _member(member)
    if found.others:
        more = ", ".join(f"{number:,} {state}" for state, number in found.others.items())
        yield _indented(Text(f"and {more} more", style="dim"))


def _member(member: MemberExplanation) -> Iterator[RenderableType]:
    yield _indented(Text.assemble(f"{member.job_id}  {clean(member.task)}  ", (clean(member.said), "dim")))
    if member.group is not None:
        for line in _lines(member.group):
            yield Padding(line, (0, 0, 0, 2))


def _indented(line: Text) -> Padding:
    return Padding(line, (0, 0, 0, 2))
