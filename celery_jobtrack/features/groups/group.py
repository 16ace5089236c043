"""One group: what is recorded of it, and what can be done with it."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload, UnknownGroup
from celery_jobtrack.features.groups import hold
from celery_jobtrack.features.groups.recorded import recorded
from celery_jobtrack.features.groups.waiting import wait_for
from celery_jobtrack.integration import bulk
from celery_jobtrack.integration.cancelling import check_signal, terminate_members
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.model.requests import JobQuery, Page
from celery_jobtrack.model.state import JobState
from celery_jobtrack.tracking.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.dispatched import Dispatched
    from celery_jobtrack.model.group import GroupRecord, GroupStatus


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
        self.record = recorded(self._runtime, self.record.id)
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

    def dispatch(
        self,
        signatures: Iterable[Any],
        *,
        chunk: int = bulk.CHUNK,
        key: str | None = None,
        on_progress: Callable[[Dispatched], object] | None = None,
        progress: bool = False,
        max_outstanding: int | None = None,
    ) -> Dispatched:
        """Make many jobs members of the group and send them, chunk by chunk.

        The group is held open meanwhile. See ``JobTrack.dispatch_many`` for the arguments and for what
        is raised.

        Example::

            group.dispatch(resize.s(path) for path in paths)
        """
        with self.filling():
            return bulk.dispatch(
                self._runtime,
                signatures,
                group_id=self.record.id,
                chunk=chunk,
                key=key,
                on_progress=on_progress,
                progress=progress,
                max_outstanding=max_outstanding,
            )

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
        store.begin_filling(group_id, token, hold.FILLING_LEASE)
        try:
            with hold.renewed(store, group_id, token):
                yield self
        finally:
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
        return wait_for(self, timeout)

    def _is_inert(self) -> bool:
        """With ``jobtrack_enabled = False`` a group can be made and filled, and does nothing."""
        return not self._runtime.enabled
