"""Groups of jobs: making them, filling them, asking them, waiting for them."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import assert_will_not_block  # type: ignore[attr-defined] # not in the stubs

from celery_jobtrack.config import check_seconds
from celery_jobtrack.errors import GroupNotCompleted, InvalidPayload, JobTrackError, UnknownGroup
from celery_jobtrack.integration.cancelling import check_signal, terminate_members
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.integration.returned import results_of_members
from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.requests import GroupQuery, JobQuery, Page
from celery_jobtrack.model.state import GroupState, JobState
from celery_jobtrack.tracking.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupStatus
    from celery_jobtrack.model.result import JobResult

logger = logging.getLogger(__name__)

FILLING_LEASE = 30.0
"""Seconds for which a filler holds a group open without being heard of."""


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
        return JobGroup(self._runtime, _existing(self._runtime, group_id))

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


class JobGroup:
    """One group: what is recorded of it (as of when it was read), and what can be done with it.

    ``id``, ``key``, ``title``, ``description``, ``payload``, ``state``, ``generation`` and the
    other fields of its record are attributes; ``refresh()`` reads them again.
    """

    def __init__(self, runtime: Runtime, record: GroupRecord) -> None:
        self._runtime = runtime
        self.record = record

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "record":
            raise AttributeError(name)
        return getattr(self.record, name)

    def __repr__(self) -> str:
        return f"<JobGroup {self.record.title!r} {self.record.id} {self.record.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobGroup) and other.record.id == self.record.id

    def __hash__(self) -> int:
        return hash(self.record.id)

    def __json__(self) -> str:
        """A group travels in a message as its id."""
        return self.record.id

    def __copy__(self) -> JobGroup:
        return self

    def __deepcopy__(self, memo: Any) -> JobGroup:
        """Celery copies the options of signatures; a group stays the same group."""
        return self

    def __reduce__(self) -> Any:
        return str, (self.record.id,)

    def refresh(self) -> JobGroup:
        """Read the record again. Raises UnknownGroup."""
        if self._is_inert():
            return self
        self.record = _existing(self._runtime, self.record.id)
        return self

    def status(self) -> GroupStatus:
        """The numbers of this moment, at a cost that does not grow with the group. Raises UnknownGroup."""
        status = self._runtime.store.group_status(self.record.id)
        if status is None:
            raise UnknownGroup(f"group {self.record.id!r} is not recorded")
        return status

    def members(
        self, *, state: JobState | str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """A page of the group's jobs, newest first, of all generations."""
        query = JobQuery(
            group_id=self.record.id,
            state=check_state(JobState, state),
            limit=check_limit(limit),
            cursor=check_cursor(cursor),
        )
        return self._runtime.store.jobs(query)

    def results(self, *, partial: bool = False) -> Iterator[JobResult]:
        """What became of the group's jobs, in the order of their dispatch; read page by page.

        Each is a ``Result``, a ``Failure``, a ``NotKept`` or, with ``partial``, a ``Pending``. Values are
        kept of jobs with ``store_result = True`` only. They are those of the present generation.

        Args:
            partial: Whether to give what there is before the group has completed.

        Raises:
            GroupNotCompleted: The group has not completed.
            UnknownGroup: The group is not recorded.
        """
        record = _existing(self._runtime, self.record.id)
        if not partial and not record.is_over:
            raise GroupNotCompleted(
                f"group {record.title!r} ({record.id}) has {record.outstanding} of {record.totals.total} "
                "jobs outstanding; wait() for it, or ask with partial=True"
            )
        return results_of_members(self._runtime.store, record)

    def mark_running(self) -> JobGroup:
        """Announce that the group has started, before its first job does."""
        if self._is_inert():
            return self
        changed = self._runtime.tracker.change_group(self._runtime.store.mark_running(self.record.id))
        self.record = changed.group
        return self

    def seal(self) -> JobGroup:
        """Say that a batch gets no more jobs: it completes when none is outstanding.

        Raises:
            InvalidPayload: It is a standing group, which is never sealed.
        """
        if self.record.standing:
            raise InvalidPayload(
                f"group {self.record.title!r} is a standing group and is never sealed; "
                "make a batch with groups.create(…, standing=False)"
            )
        if self._is_inert():
            return self
        changed = self._runtime.tracker.change_group(self._runtime.store.seal_group(self.record.id))
        self.record = changed.group
        return self

    def cancel(self, *, terminate: bool = False, signal: str = "SIGTERM") -> JobGroup:
        """Cancel what has not started. Running jobs see ``self.cancelled`` and go on or stop.

        The flag is one write; jobs that are queued are refused at their start, and are ended in
        chunks, of which the first is done here and the others by the checker.

        Args:
            terminate: Whether workers are asked to end the running jobs by force, too. Pools of
                processes, gevent and eventlet can; threads and solo cannot, and go on.
            signal: What a process is sent: ``"SIGTERM"``, ``"SIGKILL"``, …

        Raises:
            InvalidPayload: There is no such signal.
            kombu.exceptions.OperationalError: The broker takes no message to the workers; the group
                is cancelled all the same.
        """
        check_signal(signal)
        if self._is_inert():
            return self
        changed = self._runtime.tracker.change_group(self._runtime.store.cancel_group(self.record.id))
        Sweeper(self._runtime.tracker).cancel_members(self.record.id)
        self.record = changed.group
        if terminate:
            terminate_members(self._runtime, self.record.id, signal=signal)
        return self.refresh()

    @contextmanager
    def filling(self) -> Iterator[JobGroup]:
        """Hold the group's completion open while jobs are being added.

        The hold is renewed while the block runs, and ends by itself when the process dies.

        Example::

            with group.filling():
                for path in paths:
                    resize.apply_async((path,), job_group=group)
        """
        if self._is_inert():
            yield self
            return
        token, store, group_id = uuid.uuid4().hex, self._runtime.store, self.record.id
        store.begin_filling(group_id, token, FILLING_LEASE)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(FILLING_LEASE / 3):
                try:
                    store.begin_filling(group_id, token, FILLING_LEASE)
                except JobTrackError as error:
                    logger.warning("the hold on group %s is not renewed this time: %s", group_id, error)

        renewer = threading.Thread(target=renew, name="jobtrack-filling", daemon=True)
        renewer.start()
        try:
            yield self
        finally:
            done.set()
            renewer.join()
            self.record = self._runtime.tracker.change_group(store.end_filling(group_id, token)).group

    def wait(self, timeout: float | None = None) -> GroupStatus:
        """Wait until the group's present generation has completed.

        If a listener has begun the next generation by then, its status is what is returned.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            celery.exceptions.TimeoutError: It has not completed in time.
            RuntimeError: Called inside of a task, where waiting can block every worker.
        """
        assert_will_not_block()
        generation = self.refresh().record.generation
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.02
        while True:
            status = self.status()
            if status.completed_at is not None or status.generation > generation:
                self.refresh()
                return status
            if deadline is not None and time.monotonic() + pause > deadline:
                raise CeleryTimeoutError(
                    f"group {self.record.title!r} ({self.record.id}) has {status.outstanding} of "
                    f"{status.total} jobs outstanding after {timeout:g} s"
                )
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)

    def _is_inert(self) -> bool:
        """With ``jobtrack_enabled = False`` a group can be made and filled, and does nothing."""
        return not self._runtime.enabled


def _existing(runtime: Runtime, group_id: str) -> GroupRecord:
    record = runtime.store.group(group_id)
    if record is None:
        raise UnknownGroup(
            f"group {group_id!r} is not recorded in namespace {runtime.settings.namespace!r}; "
            "create it with jobtrack.groups.create()"
        )
    return record


def _checked_payload(payload: Any) -> Any:
    try:
        return json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"a group's payload must be something that JSON can hold: {error}") from error
