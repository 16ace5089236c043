"""What of canvas is recorded with a message: the groups and the members that it is the first to speak of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import JobTrackError
from celery_jobtrack.integration.canvas import FOLLOWED, mark, marked, task_of
from celery_jobtrack.integration.flow import Flow
from celery_jobtrack.integration.placing import Message, Place, place
from celery_jobtrack.integration.running import current
from celery_jobtrack.integration.runtime import NEVER_TRACKED
from celery_jobtrack.model.requests import EnqueueRequest, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.integration.flow import Member
    from celery_jobtrack.integration.header import Header
    from celery_jobtrack.integration.runtime import Runtime

logger = logging.getLogger(__name__)

CHORD_UNLOCK = "celery.chord_unlock"
_EMBED = 2
"""Where what follows a message stands in its body, after its arguments."""


class Belonging:
    """Places one message, tells those that follow it, and sees that what counts them is recorded.

    Args:
        runtime: The app's.
        name: The task's name.
        message: The message, as Celery has made it.
        headers: All of its headers.
        asked: The option ``job_group``.
    """

    def __init__(
        self, runtime: Runtime, name: str, message: Any, headers: Mapping[str, Any], asked: Any
    ) -> None:
        self._runtime = runtime
        self._name = name
        self._headers = headers
        self._asked = asked
        body = message.body
        is_new_style = isinstance(body, tuple) and len(body) > _EMBED
        self._embed: Mapping[str, Any] = (body[_EMBED] or {}) if is_new_style else {}
        self._task = task_of(name, body[1]) if is_new_style else name
        self._body = body
        self._place = Place()

    @property
    def is_counted(self) -> bool:
        """Whether the job was counted in its group before: its flow led to it."""
        flow = self._place.flow
        return flow is not None and flow.group_of(self._headers["id"]) is not None

    def place(self, given: Header | None) -> Place:
        """Find where the message belongs, and have all that follow it know."""
        running = current()
        self._place = place(
            Message(
                job_id=self._headers["id"],
                task=self._task,
                embed=self._embed,
                group_id=self._headers.get("group") if self._sees_canvas else None,
            ),
            given=given,
            asked=self._asked,
            replaced=running if running is not None and running.replacing else None,
            tracks=self._tracks if self._sees_canvas else _nothing,
            above=self._runtime.lineage.above,
        )
        if self._name == CHORD_UNLOCK and self._sees_canvas:
            self._place_body_of_chord()
        elif self._header_id is not None or (
            self._place.flow is not None and (given is None or given.flow is None)
        ):
            self._mark(self._place.flow or Flow())
        return self._place

    def is_tracked(self, given: Header | None) -> bool:
        """Whether the job is recorded at all."""
        if self._name.startswith(NEVER_TRACKED) and self._name not in FOLLOWED:
            return False
        place = self._place
        if place.group_id is not None or self._joins or self._runtime.tracks(self._name):
            return True
        if place.flow is not None and place.flow.levels:
            # Whatever is on the way to a job that is counted may end it.
            return True
        if given is not None and given.flow is None:
            return True
        if self._headers.get("replaced_task_nesting"):
            # A replacement of a tracked job goes on under its id, whatever task runs last.
            return self._runtime.store.job(self._headers["id"]) is not None
        return False

    def join(self, origin: Origin) -> bool:
        """Record the groups and members that are new with this message.

        Returns:
            Whether the job is where it was placed: False if Celery's group is not to be had.

        Raises:
            JobTrackError: The group that somebody asked for takes no members, or the store is away.
        """
        place = self._place
        if place.flow is not None and place.flow.asked_for:
            for signature, member in place.announced:
                self._announce(signature, member, origin)
            return True
        try:
            return self._join_groups_of_celery(origin)
        except JobTrackError as error:
            # Nobody asked for this group, so nobody's canvas may break over it.
            logger.warning("job %s is recorded without its Celery group: %s", origin.job_id, error)
            return False

    @property
    def may_leave(self) -> bool:
        """Whether nobody asked for the group that counts the job."""
        return self._joins

    def leave(self) -> None:
        """What follows is not counted, either."""
        self._place = Place()
        self._mark(Flow())

    @property
    def _sees_canvas(self) -> bool:
        return self._runtime.settings.canvas_groups

    @property
    def _joins(self) -> bool:
        return self._place.canvas_group is not None

    @property
    def _header_id(self) -> str | None:
        """The group of Celery's that is the header of a chord, if the message is in one that may show up."""
        flow = self._place.flow
        shows_up = self._joins or (flow is not None and not flow.asked_for)
        return self._headers.get("group") if self._sees_canvas and shows_up else None

    def _tracks(self, task: str) -> bool:
        return self._runtime.tracks(task)

    def _join_groups_of_celery(self, origin: Origin) -> bool:
        place, groups = self._place, self._runtime.canvas_groups
        own = place.canvas_group
        payload = {"canvas": "group", "root_id": origin.root_id, "parent_id": origin.parent_id}
        if own is not None:
            kind = "chord" if self._embed.get("chord") else "group"
            if not groups.takes(own, self._task, {**payload, "canvas": kind}):
                return False
        for signature, member in place.announced:
            assert member.group_id is not None
            if not groups.takes(member.group_id, task_of(signature["task"], signature["kwargs"]), payload):
                return False
            self._announce(signature, member, origin)
        return True

    def _announce(self, signature: Any, member: Member, first: Origin) -> None:
        """Count a job that a later one will publish."""
        if not self._runtime.announced.is_new(member.id):
            return
        origin = Origin(
            job_id=member.id,
            task=signature["task"],
            group_id=member.group_id,
            root_id=first.root_id,
            within=first.within,
        )
        self._runtime.tracker.enqueue(EnqueueRequest(origin=origin, published=False))
        self._runtime.announced.add(member.id)

    def _mark(self, flow: Flow) -> None:
        mark(self._embed, flow, header=self._header_id)

    def _place_body_of_chord(self) -> None:
        """Backends that cannot count have a task wait for a chord's header, and send its body."""
        body, header_id = self._body[1].get("callback"), next(iter(self._body[0]), None)
        if isinstance(body, dict) and isinstance(header_id, str) and not body["options"].get("job_group"):
            embed = {"chord": body}
            mark(embed, marked(embed) or Flow(), header=header_id)


def _nothing(_: str) -> bool:
    return False
