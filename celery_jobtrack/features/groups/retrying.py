"""Running the members of a group again that did not succeed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, InvalidPayload
from celery_jobtrack.features.groups.hold import held_open
from celery_jobtrack.integration.lineage import recorded
from celery_jobtrack.integration.redriving import has_moved_on, run_again, was_never_sent
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import REDRIVEN, GroupOutcome, JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord

CHUNK = 500
"""Members that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What ``retry_failed`` did."""

    queued: int = 0
    """Jobs that run again, those in groups below included."""
    not_kept: tuple[str, ...] = ()
    """Ids of jobs that cannot run again: their message was not kept (``jobtrack_keep_message``)."""
    never_sent: tuple[str, ...] = ()
    """Ids of members that cannot run again: each is the end of a chain or a chord, and what comes before it
    did not succeed. Send the canvas anew, as another member: these stay failed, and so does the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which members shall run again."""

    ids: tuple[str, ...] | None = None
    errors: frozenset[str] | None = None
    """Names of exceptions; only members that failed of one of these."""
    limit: int | None = None

    def failure(self, job: JobRecord) -> bool:
        """Whether a failed member is wanted. One that is a group is looked into."""
        if self.errors is None or job.task == GROUP_TASK:
            return True
        return job.error is not None and job.error.type in self.errors


@dataclass
class _Count:
    """What was done so far, in this group and in those below."""

    left: int | None
    queued: int = 0
    not_kept: list[str] = field(default_factory=list)
    never_sent: list[str] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.left is not None and self.queued >= self.left


def check_wanted(ids: Any, exception: Any, limit: Any) -> Wanted:
    """What a caller asked for. Raises InvalidPayload."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidPayload(f"limit must be a whole number from 1 on, not {limit!r}")
    if ids is not None and exception is not None:
        raise InvalidPayload("give ids or an exception, not both")
    if isinstance(ids, str) or (ids is not None and not hasattr(ids, "__iter__")):
        raise InvalidPayload(f"ids must be a list of jobs or of their ids, not {ids!r}")
    wanted_ids = None if ids is None else tuple(str(getattr(each, "id", each)) for each in ids)
    return Wanted(ids=wanted_ids, errors=_names(exception), limit=limit)


def _names(exception: Any) -> frozenset[str] | None:
    if exception is None or isinstance(exception, str):
        return None if exception is None else frozenset({exception})
    if isinstance(exception, type) and issubclass(exception, BaseException):
        below = (_names(each) or frozenset() for each in exception.__subclasses__())
        return frozenset({exception.__qualname__}).union(*below)
    raise InvalidPayload(f"exception must be a class of exceptions or the name of one, not {exception!r}")


def retry_members(runtime: Runtime, group: GroupRecord, wanted: Wanted) -> Retried:
    """Run members again.

    The first one that does opens the group, if it is over; from then on it is held open until all are
    sent, so that it does not complete between two of them.

    Raises:
        GroupCancelled: The group, or one above it, is being cancelled and has members that have not ended.
        InvalidPayload: An id is not that of a member.
        Exception: The broker's: those that are not sent yet stay as they are.
    """
    count = _Count(wanted.limit)
    _retry(runtime, group, wanted, count, inherits=False, hold_above=lambda: None)
    return Retried(queued=count.queued, not_kept=tuple(count.not_kept), never_sent=tuple(count.never_sent))


def _retry(
    runtime: Runtime,
    group: GroupRecord,
    wanted: Wanted,
    count: _Count,
    *,
    inherits: bool,
    hold_above: Callable[[], None],
) -> None:
    with ExitStack() as stack:
        retry = _Retry(runtime, group, wanted=wanted, count=count, stack=stack, hold_above=hold_above)
        for job in _candidates(runtime, group, wanted, inherits=inherits):
            if count.is_full:
                return
            try:
                goes_on = retry.below(job) if job.task == GROUP_TASK else retry.job(job)
            except GroupCancelled:
                if not retry.has_begun:
                    raise
                # One that runs again has failed, or somebody cancelled: the others stay as they are.
                return
            if not goes_on:
                return


class _Retry:
    """Runs members of one group again, in one generation of it.

    Where the first failure cancels, that may be over before the last of them is queued: what would begin
    another generation is left alone then.
    """

    def __init__(
        self,
        runtime: Runtime,
        group: GroupRecord,
        *,
        wanted: Wanted,
        count: _Count,
        stack: ExitStack,
        hold_above: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._group = group
        self._wanted = wanted
        self._count = count
        self._stack = stack
        self._hold_above = hold_above
        self._generation: int | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a member runs again, of this group or of one below."""
        return self._generation is not None

    def job(self, job: JobRecord) -> bool:
        """Run a job again. Returns whether others may follow."""
        message = self._runtime.store.message(job.id)
        if message is None and has_moved_on(self._runtime, job):
            return not self._is_over()  # somebody else runs it again
        if message is None:
            lacking = self._count.never_sent if was_never_sent(job) else self._count.not_kept
            lacking.append(job.id)
            return True
        queued = run_again(self._runtime, job, message, into=self._generation, before_sending=self._hold)
        self._count.queued += queued
        return queued or not self._is_over()

    def below(self, job: JobRecord) -> bool:
        """Run members again of a group that is a member. Returns whether others may follow."""
        if self._is_over():
            return False
        child = self._runtime.store.group(job.id)
        if child is not None:
            cancelled = job.state is JobState.REVOKED
            wanted = Wanted(errors=self._wanted.errors)
            _retry(self._runtime, child, wanted, self._count, inherits=cancelled, hold_above=self._hold)
        return True

    def _hold(self) -> None:
        self._hold_above()
        if self._generation is None:
            present = recorded(self._runtime, self._group.id)
            self._stack.enter_context(held_open(self._runtime, self._group.id))
            self._generation = present.generation

    def _is_over(self) -> bool:
        """Whether the generation that was begun is over."""
        if self._generation is None:
            return False
        present = recorded(self._runtime, self._group.id)
        return present.is_over or present.generation != self._generation


def _candidates(
    runtime: Runtime, group: GroupRecord, wanted: Wanted, *, inherits: bool
) -> Iterator[JobRecord]:
    if wanted.ids is not None:
        yield from _named(runtime, group, wanted.ids)
        return
    for job in _in_state(runtime, group, JobState.FAILURE):
        if wanted.failure(job):
            yield job
    # Those that only the group's cancellation has ended, if a failure was what cancelled it.
    by_failure = group.cancels_on_failure and group.outcome is not GroupOutcome.CANCELLED
    if wanted.errors is None and (inherits or by_failure):
        for job in _in_state(runtime, group, JobState.REVOKED):
            if job.reason is Reason.GROUP_CANCELLED:
                yield job


def _named(runtime: Runtime, group: GroupRecord, ids: Iterable[str]) -> Iterator[JobRecord]:
    for job_id in ids:
        job = runtime.store.job(job_id)
        if job is None or job.group_id != group.id:
            raise InvalidPayload(f"job {job_id!r} is not a member of group {group.title!r} ({group.id})")
        if job.state in REDRIVEN:
            yield job


def _in_state(runtime: Runtime, group: GroupRecord, state: JobState) -> Iterator[JobRecord]:
    """The members in a state that the group has counted, the newest first.

    One that runs again leaves the state, and keeps its place in the order: no page skips another one.
    """
    cursor: str | None = None
    while True:
        page = runtime.store.jobs(JobQuery(group_id=group.id, state=state, limit=CHUNK, cursor=cursor))
        yield from (job for job in page.items if group.counts(job.generation))
        if page.cursor is None:
            return
        cursor = page.cursor
