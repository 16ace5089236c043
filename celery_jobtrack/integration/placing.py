"""Where a message of canvas belongs: the groups that count it, and the jobs that it leads to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.canvas import levels_after, marked, task_of
from celery_jobtrack.integration.flow import Flow, Member
from celery_jobtrack.integration.options import group_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery_jobtrack.integration.header import Header
    from celery_jobtrack.integration.running import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What placing looks at."""

    job_id: str
    task: str
    """The task that runs, or that Celery's map runs for it."""
    embed: Mapping[str, Any]
    """What follows: ``chain``, ``chord``."""
    group_id: str | None
    """The id of the Celery group that it belongs to, as Celery says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message belongs."""

    flow: Flow | None = None
    """What it and all that follows it carry; None if nobody counts what follows."""
    group_id: str | None = None
    """The group that it is a member of because somebody said so, or through its flow."""
    within: tuple[str, ...] = ()
    canvas_group: str | None = None
    """The Celery group that it is a member of, if there is such a group of jobs."""
    announced: tuple[tuple[Any, Member], ...] = ()
    """Members that are to be counted before this message is sent: their signatures, where they count."""


def place(
    message: Message,
    *,
    given: Header | None,
    asked: Any,
    replaced: Running | None,
    tracks: Callable[[str], bool],
    above: Callable[[str], tuple[str, ...]],
) -> Place:
    """Find where a message belongs.

    Args:
        message: The message.
        given: Our header, if it has one already: what follows in a canvas has.
        asked: The option ``job_group``.
        replaced: The running job of whose replacement the message is a part.
        tracks: Whether jobs of a task are tracked by themselves.
        above: Gives the groups of which a group is a member.
    """
    if given is not None and given.flow is not None:
        return _in_flow(message, given.flow, tracks)
    if replaced is not None:
        return _in_flow(message, _flow_of_replacement(replaced), tracks)
    if asked is not None:
        group_id = group_id_of(asked)
        assert group_id is not None
        given_within = given.within if given is not None else ()
        within = tuple(dict.fromkeys((*given_within, *above(group_id))))
        return _as_asked(message, group_id, within)
    if given is not None:
        return Place(group_id=given.group_id, within=given.within)
    followed = marked(message.embed)
    if followed is not None:
        # It was added to a canvas that is running, as ``add_to_chord`` does.
        return _in_flow(message, replace(followed, beside=None), tracks)
    return _as_celery_says(message, tracks)


def _in_flow(message: Message, flow: Flow, tracks: Callable[[str], bool]) -> Place:
    group_id = flow.group_of(message.job_id)
    own = message.group_id if not flow.asked_for and message.group_id != flow.beside else None
    joins = own is not None and own != group_id and group_id is None and tracks(message.task)
    return Place(
        flow=flow,
        group_id=group_id,
        within=flow.groups_around(message.job_id),
        canvas_group=own if joins else None,
    )


def _flow_of_replacement(running: Running) -> Flow:
    """The parts of a replacement are counted through the job that is replaced, wherever that is."""
    header, job_id = running.header, running.start.origin.job_id
    if header.flow is not None:
        return header.flow
    return Flow(levels=((Member(id=job_id, group_id=header.group_id),),), within=header.within)


def _as_asked(message: Message, group_id: str, within: tuple[str, ...]) -> Place:
    """Somebody gave it a group, which a chain or a chord hands on to its first tasks.

    Who gives each task of a chain a group wants each of them counted.
    """
    each = any(step["options"].get("job_group") for step in message.embed.get("chain") or ())
    ends: list[Any] = []
    for number, (following, reached) in enumerate([] if each else levels_after(message.embed)):
        is_body = number > 0 or not message.embed.get("chain")
        if is_body and not following["options"].get("job_group"):
            break
        ends = reached
    if not ends:
        return Place(group_id=group_id, within=within)
    members = tuple(Member(id=end["options"]["task_id"], group_id=group_id) for end in ends)
    flow = Flow(levels=(members,), within=within, asked_for=True)
    return Place(
        flow=flow,
        within=flow.groups_around(message.job_id),
        announced=tuple(zip(ends, members, strict=True)),
    )


def _as_celery_says(message: Message, tracks: Callable[[str], bool]) -> Place:
    """Celery's own groups: of the tasks of a group, or of a chord's header."""
    own = message.group_id if message.group_id is not None and tracks(message.task) else None
    levels, announced = [], []
    # Celery gives the body of a chord the id of its header, in which it is not.
    headers = {None, message.group_id}
    for _, ends in levels_after(message.embed):
        level = []
        groups = [end["options"].get("group_id") for end in ends]
        for end, group_id in zip(ends, groups, strict=True):
            if group_id not in headers and tracks(task_of(end["task"], end["kwargs"])):
                member = Member(id=end["options"]["task_id"], group_id=group_id)
                level.append(member)
                announced.append((end, member))
        headers.update(groups)
        if level:
            levels.append(tuple(level))
    flow = Flow(levels=tuple(levels))
    return Place(
        flow=flow if levels else None,
        within=flow.groups_around(message.job_id),
        canvas_group=own,
        announced=tuple(announced),
    )
