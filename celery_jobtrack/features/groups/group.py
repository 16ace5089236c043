"""One group: what is recorded of it, and what can be done with it."""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, GroupNotCompleted, InvalidPayload, JobTrackError
from celery_jobtrack.features.groups import hold
from celery_jobtrack.features.groups.following import callbacks_with_jobs
from celery_jobtrack.features.groups.retrying import Retried, check_wanted, retry_members
from celery_jobtrack.features.groups.sending import check_members, send_members, several
from celery_jobtrack.features.groups.waiting import wait_for
from celery_jobtrack.integration import bulk
from celery_jobtrack.integration.cancelling import check_signal, terminate_members
from celery_jobtrack.integration.lineage import recorded
from celery_jobtrack.integration.queries import check_cursor, check_limit, check_state
from celery_jobtrack.integration.redriving import check_ancestors, wait_again
from celery_jobtrack.integration.returned import results_of_members
from celery_jobtrack.model.dispatched import Dispatched
from celery_jobtrack.model.requests import JobQuery, Page
from celery_jobtrack.model.state import GroupOutcome, GroupState, JobState
from celery_jobtrack.strategies.unknown import unknown_group
from celery_jobtrack.tracking.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from celery_jobtrack.features.groups.following import GroupCallback
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.result import JobResult

logger = logging.getLogger(__name__)


class JobGroup:
    """One group: what is recorded of it (as of when it was read), and what can be done with it.

    ``id``, ``key``, ``title``, ``description``, ``payload``, ``state``, ``outcome``, ``generation`` and
    the other fields of its record are attributes; ``refresh()`` reads them again.
    """

    def __init__(self, runtime: Runtime, record: GroupRecord) -> None:
        self._runtime = runtime
        self.record = record
        self._reopened_with: str | None = None
        """The token of the hold that ``reopen`` took."""

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
            raise unknown_group(self.record.id, self._runtime.settings.namespace)
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

        The group is held open meanwhile, and a batch is sealed at the end. If the dispatch breaks off, the
        present generation is incomplete, which is a failure; a batch is sealed as that. A list with a member
        that cannot be sent is refused as a whole: a batch that waits for its seal is sealed as incomplete by
        that, too; any other group stays as it is. The same call with the same ``key`` reopens such a batch
        when it has ended, and adds what is missing. See ``JobTrack.dispatch_many`` for the arguments and for
        what is raised.

        Raises:
            GroupNotCompleted: With a ``key``: the batch is incomplete, and its failure was told while members
                have not ended. Make the call again when they have.

        Example::

            group.dispatch(resize.s(path) for path in paths)
        """
        dispatched: Dispatched | None = Dispatched(group_id=self.record.id)
        try:
            self._check_dispatch(signatures, chunk=chunk, key=key, max_outstanding=max_outstanding)
            with self._open_for_dispatch(key):
                try:
                    dispatched = bulk.dispatch(
                        self._runtime,
                        signatures,
                        group_id=self.record.id,
                        chunk=chunk,
                        key=key,
                        on_progress=on_progress,
                        progress=progress,
                        max_outstanding=max_outstanding,
                    )
                except BaseException as error:
                    dispatched = getattr(error, "dispatched", None)
                    raise
                if self._is_unsealed() or (key is not None and self.record.lacks_members):
                    self.seal()
        except JobTrackError as error:
            error.dispatched = error.dispatched or dispatched
            raise
        return dispatched

    def abandon(self) -> None:
        """Record that not all members were sent, so that a batch ends; the reason is being raised."""
        if self._is_inert():
            return
        try:
            self._seal(incomplete=True)
        except JobTrackError:
            logger.exception("group %s was not dispatched whole, and does not know it", self.record.id)

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
        record = recorded(self._runtime, self.record.id)
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

    def seal(self, *, incomplete: bool = False) -> JobGroup:
        """Say that a batch gets no more jobs: it completes when none is outstanding.

        Args:
            incomplete: Not all of its jobs could be dispatched, which is a failure of the batch.

        Raises:
            InvalidPayload: It is a standing group, which is never sealed.
        """
        if self.record.standing:
            raise InvalidPayload(
                f"group {self.record.title!r} is a standing group and is never sealed; "
                "make a batch with groups.create(…, standing=False)"
            )
        if not self._is_inert():
            self._seal(incomplete=incomplete)
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

        The hold is renewed while the block runs. If the block raises, or its process dies, the group did not
        get everything: its present generation is incomplete, which is a failure, and a batch is sealed as
        that. A batch that was reopened because it was incomplete is sealed behind the block.

        Example::

            with group.filling():
                for path in paths:
                    resize.apply_async((path,), job_group=group)
        """
        with self._filling(key=None):
            yield self

    def add(self, signatures: Iterable[Any]) -> JobGroup:
        """Add members and send them, also to a running batch and from inside of one of its members.

        If it breaks off, by an exception or with its process, the present generation is incomplete, which is
        a failure; a batch is sealed as that.

        Args:
            signatures: ``task.s(…)``, or batches that are not dispatched yet; any iterable, taken lazily.

        Raises:
            GroupCompleted: It is a batch and has completed; see ``reopen``.
            GroupCancelled: It was cancelled, by somebody or by the first failure.
            InvalidPayload: Something is no signature of a known task. In a list that is found before anything
                is sent; what an iterator gave before is sent.
        """
        members = several(signatures)
        with self._refusing():
            check_members(self._runtime, members)
        with self.filling():
            send_members(self._runtime, self, members)
        return self

    def reopen(self) -> JobGroup:
        """Begin the next generation of a group that has completed, and hold it open for 30 seconds.

        A batch keeps its numbers, and gets new events and callbacks. ``add``, ``dispatch``, ``filling`` and
        ``seal`` end the hold; a batch to which nothing is added completes again. One that is incomplete is
        whole when one of these has ended, and stays incomplete if none comes. A group that has not completed
        is only held, so that what is added next does not come too late.

        Raises:
            GroupCancelled: It is being cancelled, and has members that have not ended.
        """
        if self._is_inert():
            return self
        check_ancestors(self._runtime, self.record.id)
        token = uuid.uuid4().hex
        changed = self._runtime.store.reopen_group(
            self.record.id, token, hold.FILLING_LEASE, keep_totals=not self.record.standing
        )
        self._let_go()
        self._reopened_with = token
        self.record = self._runtime.tracker.change_group(changed).group
        wait_again(self._runtime, self.record.id)
        return self

    def retry_failed(
        self, ids: Iterable[Any] | None = None, *, exception: Any = None, limit: int | None = None
    ) -> Retried:
        """Run members again that did not succeed, with the arguments they had: the same ids, a new run.

        Without ``ids`` these are the members that failed and, in a batch that its first failure cancelled,
        those that were cancelled with it; members of groups below included. A batch keeps its numbers, and
        if all succeed now, its ``then`` callbacks follow, unless it is incomplete, as what was never sent is
        still missing; a standing group begins a generation.
        Where the first failure cancels, one that fails anew before all are queued leaves the others as they
        are.

        Args:
            ids: Only these members, jobs or their ids; also such as somebody cancelled, as have expired or
                were skipped. They run without the ``expires`` and ``eta`` that they had.
            exception: Only members that failed of this exception, a class (with its subclasses) or a name.
            limit: How many at most, the newest first.

        Raises:
            GroupCancelled: It is being cancelled, and has members that have not ended.
            InvalidPayload: An id is not that of a member; or an argument is wrong.
            kombu.exceptions.OperationalError: The broker takes no message; what is not sent is still failed.
        """
        wanted = check_wanted(ids, exception, limit)
        if self._is_inert():
            return Retried()
        retried = retry_members(self._runtime, self.refresh().record, wanted)
        self.refresh()
        return retried

    def callbacks(self) -> tuple[GroupCallback, ...]:
        """The group's callbacks, each with its job in the present generation."""
        return callbacks_with_jobs(self._runtime, self.record)

    def wait(self, timeout: float | None = None) -> GroupStatus:
        """Wait until the group's present generation has completed.

        If a listener has begun the next generation by then, its status is what is returned.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            celery.exceptions.TimeoutError: It has not completed in time.
            WouldBlock: Called inside of a task, where waiting can block every worker.
        """
        return wait_for(self, timeout)

    def _is_unsealed(self) -> bool:
        return not self.record.standing and not self.record.sealed

    def _check_dispatch(self, signatures: Any, *, key: str | None, **call: Any) -> None:
        """Refuse what can be refused before the group is touched: that is no dispatch that broke off."""
        bulk.check_call(signatures, key=key, group_id=self.record.id, **call)
        if isinstance(signatures, (list, tuple)):
            with self._refusing():
                for number, member in enumerate(signatures):
                    bulk.check_one(self._runtime, member, number)
        if key is not None and not self._is_inert():
            bulk.check_group_of_key(self._runtime, key, self.record.id)

    @contextmanager
    def _open_for_dispatch(self, key: str | None) -> Iterator[None]:
        """Hold the group open; with a key, reopen a batch first that the same call may have broken off."""
        if key is not None and not self._is_inert() and not self.refresh().record.standing:
            again = self.record
            if again.is_over and again.lacks_members and again.outcome is not GroupOutcome.CANCELLED:
                self.reopen()
            elif again.is_over:
                # What is known is left alone, and the store refuses what is not.
                yield
                return
            else:
                _check_repeatable(again)
        with self._filling(key=key):
            yield

    @contextmanager
    def _filling(self, *, key: str | None) -> Iterator[None]:
        """See ``filling``; with the key of a dispatch, it takes over what the same one left that died."""
        if self._is_inert():
            yield
            return
        with hold.held_for_filling(self._runtime, self.record.id, key=key, after=self._became):
            reopened = self._reopened_with is not None
            try:
                # Whoever reopened the group did it for these.
                self._let_go()
                yield
            except BaseException:
                self.abandon()
                raise
            if reopened and self._is_unsealed():
                # It is whole now: nobody else would say so.
                self.seal()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """What is refused before anything is sent has not begun, and a group that needs no seal is as it was.

        A batch that waits for its seal would wait for ever if it was to come with this.
        """
        try:
            yield
        except InvalidPayload:
            if not self._is_inert():
                self._give_up_unsealed()
            raise

    def _give_up_unsealed(self) -> None:
        try:
            # Somebody else may have sealed it since it was read.
            self.refresh()
        except JobTrackError:
            logger.exception("group %s was not filled, and may not know it", self.record.id)
            return
        if self._is_unsealed():
            self.abandon()

    def _seal(self, *, incomplete: bool) -> None:
        changed = self._runtime.store.seal_group(self.record.id, incomplete=incomplete)
        self.record = self._runtime.tracker.change_group(changed).group
        self._let_go()

    def _became(self, record: GroupRecord) -> None:
        self.record = record

    def _let_go(self) -> None:
        """End the hold that ``reopen`` took."""
        token, self._reopened_with = self._reopened_with, None
        if token is not None:
            changed = self._runtime.store.end_filling(self.record.id, token)
            self.record = self._runtime.tracker.change_group(changed).group

    def _is_inert(self) -> bool:
        """With ``jobtrack_enabled = False`` a group can be made and filled, and does nothing."""
        return not self._runtime.enabled


def _check_repeatable(batch: GroupRecord) -> None:
    """Refuse a dispatch with a key into a batch whose present generation is lost, and goes on.

    It would succeed, and nothing would ever follow it but ``catch``.

    Raises:
        GroupCancelled: It is being cancelled, and has members that have not ended.
        GroupNotCompleted: It was told that it is incomplete, and has members that have not ended.
    """
    left = f"{batch.outstanding} of its jobs have not ended; make the same call when they have"
    if batch.state is GroupState.CANCELLED:
        raise GroupCancelled(f"batch {batch.title!r} ({batch.id}) is being cancelled: {left}")
    if batch.incomplete and batch.tells_failure:
        raise GroupNotCompleted(
            f"batch {batch.title!r} ({batch.id}) has failed as it was not dispatched whole, and {left}"
        )
