"""Making groups, finding them, listing them."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.features.groups.given import callbacks_given
from celery_jobtrack.features.groups.group import JobGroup
from celery_jobtrack.features.groups.nesting import count_in_parent, parent_id_of
from celery_jobtrack.integration.lineage import recorded
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import GroupQuery, Page
from celery_jobtrack.model.state import GroupState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.callback import Callback


_ON_FAILURE = ("continue", "cancel")
_CALLBACKS = ("before", "progress", "every", "then", "catch", "finally_")
_USUAL: Mapping[str, Any] = MappingProxyType(
    {
        "description": "",
        "payload": None,
        "time_to_check": None,
        "settle_after": 0.0,
        "standing": True,
        "on_failure": "continue",
    }
)
"""What a group is made with where nothing else is said."""


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
        on_failure: str = "continue",
        parent: JobGroup | str | None = None,
        before: Any = None,
        progress: Any = None,
        every: int = 1,
        then: Any = None,
        catch: Any = None,
        finally_: Any = None,
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
            on_failure: ``"cancel"`` cancels the rest when the first member fails for good; with
                ``"continue"`` the others go on.
            parent: A group of which this one becomes a member, until its callbacks have ended.
            before: The callback for the start: a signature, or a list of them. The job gets the group's id
                as its first argument, unless the signature is immutable; so do the following.
            progress: The callback for each time that ``every`` members more have ended.
            every: For ``progress``.
            then: The callback for the success of all members.
            catch: The callback for the first failure.
            finally_: The callback for the end, however it went.

        Raises:
            InvalidPayload: A title, key, payload, time or callback cannot be kept; or the key is taken.
            UnknownGroup, GroupCompleted, GroupCancelled: The parent takes no members.
        """
        record = self._record(
            title,
            key,
            description=description,
            payload=payload,
            time_to_check=time_to_check,
            settle_after=settle_after,
            standing=standing,
            on_failure=on_failure,
        )
        callbacks = callbacks_given(
            self._runtime,
            before=before,
            progress=progress,
            every=every,
            then=then,
            catch=catch,
            finally_=finally_,
        )
        parent_id = parent_id_of(self._runtime, parent)
        group = self._created(record.evolve(callbacks=callbacks, parent_id=parent_id))
        count_in_parent(self._runtime, group.record)
        return group

    def create_batch(
        self,
        title: str,
        *,
        callbacks: tuple[Callback, ...],
        parent: JobGroup | str | None,
        on_failure: str,
        **about: Any,
    ) -> JobGroup:
        """Create a batch with callbacks that are checked already; its parent does not count it yet.

        See ``PendingBatch.dispatch``.
        """
        attributes = {**_USUAL, **about, "standing": False, "on_failure": on_failure}
        record = self._record(title, attributes.pop("key", None), **attributes)
        parent_id = parent_id_of(self._runtime, parent)
        return self._created(record.evolve(callbacks=callbacks, parent_id=parent_id))

    def _created(self, record: GroupRecord) -> JobGroup:
        if not self._runtime.enabled:
            return JobGroup(self._runtime, record)
        created = self._runtime.store.create_group(record)
        if created.id != record.id:
            raise InvalidPayload(
                f"key {record.key!r} is taken by group {created.title!r} ({created.id}); use get_or_create()"
            )
        return JobGroup(self._runtime, created)

    def get_or_create(self, key: str, title: str | None = None, **about: Any) -> JobGroup:
        """The group with this key; created, with these attributes, when there is none.

        Args:
            key: The unique name.
            title: What people call it; by default the key.
            about: As in ``create``, ``parent`` apart.

        Raises:
            InvalidPayload: A key, title, payload, time or callback cannot be kept.
        """
        check_name("a group's key", key, InvalidPayload)
        given = {name: about.pop(name) for name in _CALLBACKS if name in about}
        record = self._record(key if title is None else title, key, **{**_USUAL, **about})
        record = record.evolve(callbacks=callbacks_given(self._runtime, **given))
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
        on_failure: str,
    ) -> GroupRecord:
        if not isinstance(description, str):
            raise InvalidPayload(f"a group's description must be a string, not {description!r}")
        if not isinstance(standing, bool):
            raise InvalidPayload(f"standing must be True or False, not {standing!r}")
        if on_failure not in _ON_FAILURE:
            raise InvalidPayload(f"on_failure must be 'continue' or 'cancel', not {on_failure!r}")
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
            cancels_on_failure=on_failure == "cancel",
            created_at=datetime.now(timezone.utc),
        )


def _checked_payload(payload: Any) -> Any:
    try:
        return json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"a group's payload must be something that JSON can hold: {error}") from error
