"""What a store should know, kept in sets of names: the model that random runs are compared with.

It is written from the rules of the lifecycle and shares no code with the package but the names of
states. It counts nothing: totals are the sizes of sets of identities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from celery_jobtrack.model.state import EventKind, GroupOutcome, GroupState, JobState, Outcome

Event = tuple[int, EventKind, int, "GroupOutcome | str | None"]
"""Generation, kind, step, and what it says: the outcome, or who failed first."""

ENDED = {JobState.SUCCESS, JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED}
LEAVES = {
    Outcome.SUCCESS: JobState.SUCCESS,
    Outcome.FAILURE: JobState.FAILURE,
    Outcome.REVOKED: JobState.REVOKED,
    Outcome.SKIPPED: JobState.SKIPPED,
    Outcome.REQUEUED: JobState.ENQUEUED,
    Outcome.RETRY: JobState.RETRY,
    Outcome.LOST: JobState.FAILURE,
}


@dataclass
class Job:
    group: str | None
    expires: float | None
    state: JobState
    retries: int = 0
    run: int = 1
    enqueued: bool = False
    published: bool = True
    unsent: bool = False
    """It ended because it could not be published."""
    open: str | None = None
    tokens: dict[str, Outcome | None] = field(default_factory=dict)
    """The attempts in their order, and how each was closed."""
    late: dict[str, Outcome] = field(default_factory=dict)
    flagged: bool = False
    copy: bool = False
    generation: int | None = None


@dataclass
class Group:
    standing: bool = True
    settle_after: float = 0
    catches: bool = False
    cancels: bool = False
    every: int = 0
    sealed: bool = False
    incomplete: bool = False
    cancelled: bool = False
    generation: int = 1
    base: int = 1
    failed_first: str | None = None
    done: bool = False
    """What follows its completion is."""
    running: bool = False
    over: bool = False
    idle: float | None = None
    members: set[str] = field(default_factory=set)
    ended: dict[str, JobState] = field(default_factory=dict)
    holds: dict[str, float] = field(default_factory=dict)
    joined: set[tuple[str, int]] = field(default_factory=set)
    """Every member in every generation in which it was counted anew."""
    events: list[Event] = field(default_factory=list)

    @property
    def state(self) -> GroupState:
        if self.cancelled:
            return GroupState.CANCELLED
        if self.over:
            return GroupState.COMPLETED
        return GroupState.RUNNING if self.running else GroupState.AWAITING

    @property
    def closed(self) -> bool:
        """No member can be added any more."""
        return self.cancelled or (self.over and not self.standing)

    @property
    def outcome(self) -> GroupOutcome | None:
        if not self.over:
            return None
        if self.incomplete:
            return GroupOutcome.FAILED
        if self.cancelled:
            return GroupOutcome.CANCELLED if self.failed_first is None else GroupOutcome.FAILED
        if self.failed_first is not None and self.catches:
            return GroupOutcome.FAILED
        wrong = {JobState.FAILURE, JobState.REVOKED} & set(self.ended.values())
        return GroupOutcome.FAILED if wrong else GroupOutcome.SUCCEEDED

    def tell(self, kind: EventKind, step: int = 0, says: GroupOutcome | str | None = None) -> None:
        """An event of this generation, behind the one of its start; each comes once."""
        if kind is not EventKind.STARTED:
            self.running = True
            self.tell(EventKind.STARTED)
        if (self.generation, kind, step) not in [event[:3] for event in self.events]:
            self.events.append((self.generation, kind, step, says))

    def fail(self, job_id: str | None) -> None:
        if self.catches or self.cancels:
            self.tell(EventKind.FAILED, 0, job_id)
        self.cancelled = self.cancelled or self.cancels

    def reopen(self, *, keep: bool, for_members: bool) -> None:
        self.generation += 1
        self.running = self.over = self.cancelled = self.done = False
        self.failed_first = None
        # A batch that is not known to be whole waits for what it lacks, or goes on lacking it.
        lacks = not self.standing and (self.incomplete or not self.sealed)
        self.incomplete = lacks and not for_members
        self.sealed = not self.standing and not (lacks and for_members)
        if not keep:
            self.base = self.generation
            self.members, self.ended = set(), {}

    def join(self, job_id: str) -> None:
        if self.over:
            self.reopen(keep=False, for_members=True)
        self.idle = None
        self.members.add(job_id)
        self.joined.add((job_id, self.generation))

    def held(self, now: float) -> bool:
        return any(until > now for until in self.holds.values())


class Model:
    def __init__(self) -> None:
        self.now = 0.0
        self.jobs: dict[str, Job] = {}
        self.groups: dict[str, Group] = {}

    def record(self, job_id: str, job: Job) -> None:
        self.jobs[job_id] = job
        group = self.groups.get(job.group or "")
        if group is None or group.closed:
            return
        group.join(job_id)
        job.generation = group.generation

    def open(self, job_id: str, token: str, retries: int) -> None:
        job = self.jobs[job_id]
        job.state, job.open = JobState.STARTED, token
        job.retries = max(job.retries, retries)
        job.tokens[token] = None
        if job.generation is not None:
            self.run(job.group)

    def run(self, group_id: str | None) -> None:
        group = self.groups[group_id or ""]
        if group.state is GroupState.AWAITING:
            group.running = True
            group.tell(EventKind.STARTED)

    def report(self, job_id: str, token: str, outcome: Outcome) -> None:
        """What a closed attempt says afterwards is kept, once, if it is something else."""
        job = self.jobs[job_id]
        if job.tokens.get(token, outcome) not in {outcome, None}:
            job.late.setdefault(token, outcome)

    def close(self, job_id: str, state: JobState, outcome: Outcome | None = None) -> None:
        """Leave the open attempt, or the queue, in ``state``."""
        job = self.jobs[job_id]
        if job.open is not None:
            job.tokens[job.open] = outcome
        job.state, job.open, job.copy = state, None, False
        if state not in ENDED:
            job.published = True
        elif job.generation is not None:
            group = self.groups[job.group or ""]
            assert job_id not in group.ended, "the model itself ended a member twice"
            group.ended[job_id] = state
            if state is JobState.FAILURE and group.failed_first is None and not group.cancelled:
                group.failed_first = job_id
                group.fail(job_id)
            if group.every and len(group.ended) % group.every == 0:
                group.tell(EventKind.PROGRESSED, len(group.ended))
            self.look(job.group)

    def redrive(self, job_id: str) -> None:
        """A job that did not succeed runs again; its group has been asked whether it may."""
        job = self.jobs[job_id]
        job.state, job.run, job.retries = JobState.ENQUEUED, job.run + 1, 0
        job.expires, job.flagged, job.unsent, job.published = None, False, False, True
        group = self.groups.get(job.group or "")
        if group is None:
            return
        if group.over and not group.standing:
            group.reopen(keep=True, for_members=False)
        if group.over or job_id not in group.members:
            group.join(job_id)
            job.generation = group.generation
        else:
            del group.ended[job_id]
            group.idle = None

    def seal(self, group_id: str, *, incomplete: bool) -> None:
        group = self.groups[group_id]
        if group.standing:
            if not incomplete or group.over or not group.members:
                return
        elif group.over and group.sealed:
            return
        if incomplete and group.cancelled and group.failed_first is None:
            group.sealed = False
            return
        group.sealed = not group.standing
        told = group.incomplete and (group.catches or group.cancels)
        group.incomplete = told or incomplete
        if group.over:
            return
        if incomplete and group.failed_first is None and not group.cancelled:
            group.fail(None)
        self.look(group_id)

    def look(self, group_id: str | None) -> None:
        """Complete the group if nothing holds it open."""
        group = self.groups[group_id or ""]
        if group.over:
            return
        ready = group.members if group.standing else group.sealed
        if group.members - set(group.ended):
            group.idle = None
            return
        if not group.cancelled:
            if group.held(self.now) or not ready:
                group.idle = None
                return
            if group.settle_after:
                group.idle = self.now if group.idle is None else group.idle
                if self.now < group.idle + group.settle_after:
                    return
        group.over, group.idle = True, None
        group.tell(EventKind.COMPLETED, 0, group.outcome)
