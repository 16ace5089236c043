"""The contract of a full store: each method records one business transition, or answers one question."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from celery_jobtrack.model.fault import FaultPage
from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.answers import EnqueueResult, Settled, StartResult
    from celery_jobtrack.model.event import EventCounts, EventRecord
    from celery_jobtrack.model.fault import Fault
    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.halt import Halt, HaltKind, Lifted
    from celery_jobtrack.model.job import Attempt, JobRecord, Progress
    from celery_jobtrack.model.lock import LockRecord, Place
    from celery_jobtrack.model.requests import (
        EnqueueRequest,
        FinishRequest,
        GroupChanged,
        GroupQuery,
        JobQuery,
        Page,
        RedriveRequest,
        RequeueRequest,
        RetryRequest,
        SettleRequest,
        StartRequest,
        Worker,
        WorkerRecord,
    )
    from celery_jobtrack.model.state import GroupState, JobState

EVENT_CLAIM = 60.0
"""Seconds for which whoever caused or claimed an event may deliver it before others try."""


class Store(TrackingStrategy):
    """Where jobs, attempts, groups, events, workers and leases live.

    Every method is one atomic operation: it happens wholly or not at all, and of two callers who
    want the same transition one makes it and the other learns that it came late. Repeating a call
    with the same token changes nothing. Time is the store's own (``now``).

    Raises, from every method:
        StoreUnavailable: The store does not answer.
    """

    delivers: Callable[[], bool]
    """Whether the process may deliver events now: if not, transitions leave theirs unclaimed."""
    claimant: str
    """By what name this process claims events."""

    # -- life of the store -------------------------------------------------------------------

    @property
    @abstractmethod
    def url(self) -> str:
        """What it is, for people: never with a password."""

    @abstractmethod
    def open(self) -> None:
        """Connect, create an empty store's schema, and refuse a schema that this code cannot use.

        Raises:
            SchemaMismatch: The schema is older than this code, or newer by more than one version.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""

    @abstractmethod
    def after_fork(self) -> None:
        """Forget connections that belong to the parent process, without closing them."""

    @abstractmethod
    def now(self) -> datetime:
        """The store's time, aware, in UTC."""

    def schema_versions(self) -> tuple[int, int] | None:
        """Which version the stored schema has (0: there is none yet) and which one this code writes.

        None for a store without a schema. It may be asked before ``open``, and so may ``upgrade``.
        """
        return None

    def upgrade(self) -> tuple[int, int] | None:
        """Bring the stored schema to this code's version; gives the versions before and after.

        Raises:
            SchemaMismatch: The schema is newer than this code can work with.
        """
        return None

    # -- jobs ----------------------------------------------------------------------------------

    @abstractmethod
    def enqueue(self, request: EnqueueRequest) -> EnqueueResult:
        """Record that a job is about to be published, and count it into its group first.

        A new job that claims a key which is taken is held back: parked, or skipped, as its claim says.
        One that is due later is so only by keys that are kept from the dispatch on
        (``Claim.from_dispatch``): who has another key then is decided at its start.

        Raises:
            Overlapping: A key is taken, and the claim says to raise; nothing is recorded.
            UnknownGroup: There is no such group.
            GroupCancelled: The group was cancelled.
            GroupCompleted: The group is a batch and has completed.
        """

    @abstractmethod
    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult]:
        """Record a chunk of jobs that are about to be published; all of one group, or of none.

        What is recorded already stays as it is, and its answer is not ``created``; but one that ended because
        it could not be published is queued again, as a new run, and its answer is. A chunk with a job that is
        recorded in another group, or in none, is refused: that one would never come into the group.

        Raises:
            StrayJob: A job is recorded in another group; nothing is recorded.
            UnknownGroup: There is no such group.
            GroupCancelled: The group was cancelled.
            GroupCompleted: The group is a batch and has completed.
        """

    @abstractmethod
    def start(self, request: StartRequest) -> StartResult:
        """Record that an attempt starts, if the job may run; otherwise say why not.

        It takes a place at every key that the job claims. If one has none left, the job is parked or
        skipped instead.

        A job that the store does not know is created from the request's origin.
        """

    @abstractmethod
    def retry(self, request: RetryRequest) -> Settled:
        """Record that a running job's next retry, or its replacement, is about to be published."""

    @abstractmethod
    def finish(self, request: FinishRequest) -> Settled:
        """Record how an attempt ended, and what follows for its job and its group."""

    @abstractmethod
    def settle(self, request: SettleRequest) -> Settled:
        """Record a job's end from outside its attempt."""

    @abstractmethod
    def requeue_lost(self, request: RequeueRequest) -> Settled:
        """Record that an open attempt is lost, and that its job is about to be published again.

        A job that somebody wants cancelled is left alone.
        """

    @abstractmethod
    def redrive(self, request: RedriveRequest) -> Settled:
        """Record that a job which did not succeed is about to be published again, as a new run.

        Its group counts it as outstanding again: a batch that is over is reopened with its numbers, and
        lacks what it lacked (``incomplete``, or never sealed); a standing group begins its next generation.
        Not applied when the job is in none of the states from
        which it may.

        Raises:
            UnknownJob: The id was never recorded.
            GroupCancelled: Its group is being cancelled, and has members that have not ended.
        """

    @abstractmethod
    def forget_job(self, job_id: str) -> Sequence[str]:
        """Delete a job that has ended, with all that belongs to it; what its group has counted stays.

        Gives the ids of parked jobs that are called because it had a key.

        Raises:
            UnknownJob: The id was never recorded.
            InvalidPayload: It has not ended; or a message of it may still come, and would run it.
            GroupNotCompleted: It is counted in a generation of its group that is not over, or an event of its
                group is pending.
        """

    @abstractmethod
    def record_progress(self, job_id: str, token: str, progress: Progress) -> bool:
        """Record how far an open attempt says it is; False when the attempt is not the open one."""

    @abstractmethod
    def request_cancel(self, job_id: str) -> Settled:
        """Record that a job shall not run: a queued one is settled, a running one is flagged.

        Raises:
            UnknownJob: The id was never recorded.
        """

    @abstractmethod
    def job(self, job_id: str) -> JobRecord | None:
        """The job, or None if the id was never recorded."""

    @abstractmethod
    def attempts(self, job_id: str) -> Sequence[Attempt]:
        """All attempts of a job, oldest first."""

    @abstractmethod
    def message(self, job_id: str) -> bytes | None:
        """What is needed to publish the job again; None if it has succeeded, or it was not kept."""

    @abstractmethod
    def results(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        """What jobs returned, serialised, as far as it was kept."""

    @abstractmethod
    def jobs(self, query: JobQuery) -> Page:
        """A page of jobs (``JobRecord``), newest first."""

    # -- groups --------------------------------------------------------------------------------

    @abstractmethod
    def create_group(self, group: GroupRecord) -> GroupRecord:
        """Record a group; one whose key is taken is not created, the existing one is returned."""

    @abstractmethod
    def group(self, group_id: str) -> GroupRecord | None:
        """The group, or None."""

    @abstractmethod
    def group_by_key(self, key: str) -> GroupRecord | None:
        """The group with this key, or None."""

    @abstractmethod
    def groups(self, query: GroupQuery) -> Page:
        """A page of groups (``GroupRecord``), newest first."""

    @abstractmethod
    def group_status(self, group_id: str) -> GroupStatus | None:
        """The group's numbers, at a cost that does not grow with its members."""

    @abstractmethod
    def mark_running(self, group_id: str) -> GroupChanged:
        """Record that a group runs, before any member has started. Raises UnknownGroup."""

    @abstractmethod
    def cancel_group(self, group_id: str) -> GroupChanged:
        """Set the cancel flag of a group. Raises UnknownGroup."""

    @abstractmethod
    def seal_group(self, group_id: str, *, incomplete: bool = False) -> GroupChanged:
        """Record that a batch gets no more members; with ``incomplete`` it does not have all.

        Who says later that it is whole is believed as long as no failure was told in this generation, of a
        batch that cancels on failure or has a ``catch``. One whose cancellation ended it before it was sealed
        takes this, too, and tells nothing. With ``incomplete``, one that somebody has cancelled before a
        member failed stays CANCELLED, and is not sealed: it lacks members.

        A standing group is never sealed. With ``incomplete`` its present generation is incomplete, if it has
        members and is not over; without, nothing happens. Raises UnknownGroup.
        """

    @abstractmethod
    def begin_filling(self, group_id: str, token: str, seconds: float) -> GroupChanged:
        """Hold the group's completion open for ``seconds``; repeat to renew.

        Raises:
            UnknownGroup: There is no such group.
            GroupCancelled: The group was cancelled.
            GroupCompleted: The group is a batch and has completed.
        """

    @abstractmethod
    def end_filling(self, group_id: str, token: str) -> GroupChanged:
        """Let go of the hold that ``begin_filling`` took, and complete the group if it is done.

        Holds that have run out go with it, but not those of a batch that is not sealed: they tell that its
        dispatcher died.
        """

    @abstractmethod
    def reopen_group(self, group_id: str, token: str, seconds: float, *, keep_totals: bool) -> GroupChanged:
        """Begin the next generation of a group that is over, and hold it open as ``begin_filling`` does.

        A group that is not over is only held. A batch that lacks members (``incomplete``, or never sealed)
        is not sealed then: it waits for them.

        Args:
            group_id: The group's id.
            token: Of the hold.
            seconds: How long the hold lasts unless it is renewed.
            keep_totals: Whether the members that the group has stay counted.

        Raises:
            UnknownGroup: There is no such group.
            GroupCancelled: It is being cancelled, and has members that have not ended.
        """

    @abstractmethod
    def close_group(self, group_id: str) -> GroupChanged:
        """Record that all that follows a group's completion is done. Raises UnknownGroup."""

    @abstractmethod
    def members(self, group_id: str, limit: int, cursor: str | None = None) -> Page:
        """A page of the members (``JobRecord``) of all generations, in the order of their recording."""

    @abstractmethod
    def recompute_group(self, group_id: str) -> GroupChanged:
        """Count the group's members anew, mend what is wrong, complete what is done."""

    @abstractmethod
    def due_groups(self, limit: int) -> Sequence[str]:
        """Ids of groups whose time to check has come, the longest overdue first."""

    @abstractmethod
    def queued_members(self, group_id: str, limit: int) -> Sequence[JobRecord]:
        """Members of a group that have not started or wait for a retry."""

    @abstractmethod
    def cancelled_groups(self, limit: int) -> Sequence[str]:
        """Ids of cancelled groups that still have members outstanding."""

    # -- locks ---------------------------------------------------------------------------------

    @abstractmethod
    def unpark(self, job_id: str) -> Settled:
        """Record that a parked job's turn has come and its message is about to be published.

        Not applied unless the job waits for a key at which it was called.
        """

    @abstractmethod
    def called_jobs(self, limit: int) -> Sequence[str]:
        """Ids of parked jobs whose turn has come: whoever called them may have died."""

    @abstractmethod
    def superseded_jobs(self, limit: int) -> Sequence[str]:
        """Ids of parked jobs in whose place a newer one waits: they are to be ended."""

    @abstractmethod
    def due_keys(self, before: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        """Keys in whose lines somebody may be called by then as time passes, and when; the earliest first."""

    @abstractmethod
    def call_due(self, key: str) -> Sequence[str]:
        """Call who may be called now that time has passed. Gives the ids; a key with more of them stays due.

        Places that have run out are free then.
        """

    @abstractmethod
    def locks(self, limit: int, cursor: str | None = None) -> Page:
        """A page of keys (``LockRecord``) at which somebody stands or stood lately, by name."""

    @abstractmethod
    def lock(self, key: str) -> LockRecord | None:
        """What is known of a key; None if nobody has claimed it for a while."""

    @abstractmethod
    def places(self, key: str, limit: int) -> Sequence[Place]:
        """Who stands at a key: who has it first, then the line in its order."""

    @abstractmethod
    def release_lock(self, key: str) -> Sequence[str]:
        """Take a key away from all who have it, who go on without it. Gives the ids of who is called."""

    @abstractmethod
    def prune_locks(self, idle_before: datetime, limit: int) -> int:
        """Delete keys at which nobody has stood since then; gives how many."""

    # -- halts ---------------------------------------------------------------------------------

    @abstractmethod
    def halt(self, kind: HaltKind, name: str, reason: str | None = None) -> bool:
        """Record that nothing of a queue or a task may start; False if that is recorded already.

        Who came first stays: the time and the reason are theirs. A start from now on parks the job at the
        halt's gate, if its message is kept; otherwise nobody could publish it again, and it starts.
        Of its places it leaves those that it keeps only until its start, but at unique keys; who is called
        then is in the answer to that start.
        """

    @abstractmethod
    def lift(self, kind: HaltKind, name: str, *, only_if_lifted: bool = False) -> Lifted:
        """Take a halt back, and call the first of those who wait at its gate; again to call the next ones.

        With ``only_if_lifted`` only that: a halt that somebody has recorded since is left alone.
        """

    @abstractmethod
    def halts(self) -> Sequence[Halt]:
        """What is halted: queues, then tasks, by their names."""

    @abstractmethod
    def lifted_halts(self) -> Sequence[Halt]:
        """What was lifted, and still has somebody at its gate: whoever lifted it may have died."""

    # -- events --------------------------------------------------------------------------------

    @abstractmethod
    def claim_events(
        self, claimed_by: str, *, group_id: str | None = None, limit: int = 50
    ) -> Sequence[EventRecord]:
        """Take events that nobody delivers: those that are due, of each group the earliest only."""

    @abstractmethod
    def acknowledge_event(self, event_id: str, claimed_by: str) -> Sequence[EventRecord]:
        """Record a delivery, and claim what may follow it in the same group."""

    @abstractmethod
    def postpone_event(self, event_id: str, error: str, *, seconds: float | None) -> None:
        """Record a failed delivery: again after ``seconds``, or, with None, never again."""

    @abstractmethod
    def has_due_events(self) -> bool:
        """Whether an event waits that nobody delivers."""

    # -- workers -------------------------------------------------------------------------------

    @abstractmethod
    def register_worker(self, worker: Worker, lease: float) -> None:
        """Record that a worker runs, for ``lease`` seconds unless it is heard of again."""

    @abstractmethod
    def heartbeat(self, worker: Worker, lease: float) -> None:
        """Renew a worker's lease; one that was given up is registered again."""

    @abstractmethod
    def stop_worker(self, worker_id: str) -> None:
        """Record that a worker is gone: its lease ends now."""

    @abstractmethod
    def workers(self, *, alive: bool = True) -> Sequence[WorkerRecord]:
        """Workers, by name; with ``alive=False`` also those that are gone."""

    @abstractmethod
    def lost_attempts(self, limit: int) -> Sequence[Attempt]:
        """Open attempts of workers whose lease has ended."""

    @abstractmethod
    def open_attempts(self, worker_id: str, limit: int) -> Sequence[Attempt]:
        """Open attempts of one worker, oldest first."""

    @abstractmethod
    def observe(self, silence: float, lease: float) -> bool:
        """Record that somebody looks at the store now, and say whether missing heartbeats count.

        They do not for ``lease`` seconds after nobody had looked for more than ``silence`` seconds while
        a worker was there that had not said goodbye: the store was away, and workers that are well could
        not be heard. A silence after all have said goodbye tells of no outage.

        So whoever renews a lease looks first: the heartbeat would hide that it was missing.
        """

    # -- upkeep --------------------------------------------------------------------------------

    @abstractmethod
    def overdue_queues(self, published_before: datetime) -> Sequence[str]:
        """The queues of jobs that should be in the broker, were published before then, and wait."""

    @abstractmethod
    def overdue_jobs(self, queue: str, published_before: datetime, limit: int) -> Sequence[JobRecord]:
        """Those jobs of one queue, the longest overdue first."""

    @abstractmethod
    def started_after(self, queue: str, published_at: datetime) -> bool:
        """Whether a job of this queue that was published after then has started."""

    @abstractmethod
    def claim_copy(self, job: JobRecord) -> bool:
        """Record that a job is about to be published again; False if somebody was faster."""

    @abstractmethod
    def expired_jobs(self, limit: int) -> Sequence[JobRecord]:
        """Jobs that have expired without starting."""

    @abstractmethod
    def acquire_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a named lease; False while somebody else holds it."""

    @abstractmethod
    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back, if it is still the holder's."""

    @abstractmethod
    def prune_jobs(
        self,
        state: JobState,
        finished_before: datetime,
        limit: int,
        *,
        tasks: Sequence[str] | None = None,
        without_tasks: Sequence[str] = (),
    ) -> int:
        """Delete jobs that ended in ``state`` before then, with all that belongs to them.

        A job stays while its group's generation is not over or an event of its group is pending. One that
        ended before its ``eta`` counts as ended then: its message is still to come, and would be the
        start of an unknown job.

        Args:
            state: A final one.
            finished_before: When the jobs must have ended at the latest.
            limit: How many to delete at most.
            tasks: Only jobs of these tasks; None for all.
            without_tasks: No jobs of these tasks.

        Returns:
            How many were deleted.
        """

    @abstractmethod
    def prune_groups(self, completed_before: datetime, limit: int) -> int:
        """Delete groups that completed before then and have no member and no pending event left."""

    @abstractmethod
    def prune_workers(self, gone_before: datetime, limit: int) -> int:
        """Delete workers that were gone before then and have no open attempt."""

    # -- the doctor ------------------------------------------------------------------------------

    def faults(self, cursor: str | None = None) -> FaultPage:  # noqa: ARG002 - for who does look
        """Look through one part of the store for what does not fit together; changes nothing.

        A part is small enough that other callers are not held up. Each fault is seen at one moment, so a
        transition that is being made is none. A store that does not look finds nothing.
        """
        return FaultPage()

    def mend(self, fault: Fault) -> bool:  # noqa: ARG002
        """Mend a fault that ``faults`` gave, if it is still there; False if it is not.

        Asked only for kinds that no other operation of the contract mends: ``UNANNOUNCED``,
        ``ANNOUNCED``, ``ATTEMPT_OPEN``, ``INDEX``, ``ORPHAN``, ``NO_GROUP``, ``PLACE``, ``LOCK`` and
        ``GIVEN_UP``.
        """
        return False

    def fillers(self, group_id: str) -> Mapping[str, datetime]:  # noqa: ARG002
        """The tokens of who holds a group's completion open, and until when each does; also those run out.

        The checker finds by this whose filler died. A store that cannot tell keeps such a group open for a
        month, and does not seal such a batch.
        """
        return {}

    @abstractmethod
    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""

    @abstractmethod
    def group_counts(self) -> Mapping[GroupState, int]:
        """How many groups are in each state."""

    @abstractmethod
    def event_counts(self) -> EventCounts:
        """How many events are not delivered."""

    # -- the answers of a strategy ---------------------------------------------------------------

    def completed(self, job_id: str) -> bool:
        """Whether the job has ended."""
        job = self.job(job_id)
        return job is not None and job.is_final
