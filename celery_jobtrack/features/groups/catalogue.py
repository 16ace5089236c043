"""Making groups, finding them, listing them."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.features.groups.group import JobGroup
from celery_jobtrack.features.groups.recorded import recorded
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import GroupQuery, Page
from celery_jobtrack.model.state import GroupState

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime


class Groups:
    """``jobtrack.groups``: creates, finds and lists groups.

    With ``jobtrack_enabled = False`` groups are inert: they can be created, filled and given to
    jobs, and nothing comes of it; asking for one raises ``Disabled``.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def create(
        self,
        title: str,
        *,
        key: str | None = None,
        description: str = "",
        payload: Any = None,
        time_to_check: float | None = None,
        settle_after: float = 0.0,
        standing: bool = True,
    ) -> JobGroup:
        """Create a group.

        Args:
            title: What people call it; need not be unique.
            key: A name that is unique, to find it by; see ``get_or_create``.
            description: More about it, for people.
            payload: Anything that JSON can hold; it stays with the group.
            time_to_check: Seconds between two recomputations from ground truth; by default
                ``jobtrack_time_to_check``.
            settle_after: Seconds with nothing outstanding before the group completes, for groups
                that are fed in a loop.
            standing: A standing group is used again and again: a job added after its completion
                begins its next generation. With False it is a batch: it completes once, after
                ``seal()``, and then takes no more jobs.

        Raises:
            InvalidPayload: A title, key, payload or time cannot be kept; or the key is taken.
        """
        record = self._record(
            title,
            key,
            description=description,
            payload=payload,
            time_to_check=time_to_check,
            settle_after=settle_after,
            standing=standing,
        )
        if not self._runtime.enabled:
            return JobGroup(self._runtime, record)
        created = self._runtime.store.create_group(record)
        if created.id != record.id:
            raise InvalidPayload(
                f"key {key!r} is taken by group {created.title!r} ({created.id}); use get_or_create()"
            )
        return JobGroup(self._runtime, created)

    def get_or_create(self, key: str, title: str | None = None, **about: Any) -> JobGroup:
        """The group with this key; created, with these attributes, when there is none.

        Args:
            key: The unique name.
            title: What people call it; by default the key.
            about: As in ``create``.
        """
        check_name("a group's key", key, InvalidPayload)
        attributes = {
            "description": "",
            "payload": None,
            "time_to_check": None,
            "settle_after": 0.0,
            "standing": True,
            **about,
        }
        record = self._record(key if title is None else title, key, **attributes)
        if not self._runtime.enabled:
            return JobGroup(self._runtime, record)
        return JobGroup(self._runtime, self._runtime.store.create_group(record))

    def get(self, group_id: str) -> JobGroup:
        """The group with this id. Raises UnknownGroup."""
        return JobGroup(self._runtime, recorded(self._runtime, group_id))

    def list(
        self,
        *,
        state: GroupState | str | None = None,
        due_before: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """A page of groups, newest first.

        Args:
            state: Only groups in this state.
            due_before: Only groups whose next check is due before then; naive means UTC.
            limit: How many at most.
            cursor: From the page before.
        """
        if due_before is not None and due_before.tzinfo is None:
            due_before = due_before.replace(tzinfo=timezone.utc)
        query = GroupQuery(
            state=check_state(GroupState, state),
            due_before=due_before,
            limit=check_limit(limit),
            cursor=check_cursor(cursor),
        )
        page = self._runtime.store.groups(query)
        return Page(items=tuple(JobGroup(self._runtime, record) for record in page.items), cursor=page.cursor)

    def _record(
        self,
        title: str,
        key: str | None,
        *,
        description: str,
        payload: Any,
        time_to_check: float | None,
        settle_after: float,
        standing: bool,
    ) -> GroupRecord:
        if not isinstance(description, str):
            raise InvalidPayload(f"a group's description must be a string, not {description!r}")
        if not isinstance(standing, bool):
            raise InvalidPayload(f"standing must be True or False, not {standing!r}")
        every = self._runtime.settings.time_to_check if time_to_check is None else time_to_check
        return GroupRecord(
            id=str(uuid.uuid4()),
            title=check_name("a group's title", title, InvalidPayload),
            key=None if key is None else check_name("a group's key", key, InvalidPayload),
            description=description,
            payload=_checked_payload(payload),
            time_to_check=check_seconds("time_to_check", every, InvalidPayload),
            settle_after=check_seconds("settle_after", settle_after, InvalidPayload) if settle_after else 0.0,
            standing=standing,
            created_at=datetime.now(timezone.utc),
        )


def _checked_payload(payload: Any) -> Any:
    try:
        return json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"a group's payload must be something that JSON can hold: {error}") from error
