"""What a store should know, kept in sets of names: the model that random runs are compared with.

It is written from the rules of the lifecycle and shares no code with the package but the names of
states. It counts nothing: totals are the sizes of sets of identities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome

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
    sealed: bool = False
    cancelled: bool = False
    generation: int = 1
    running: bool = False
    over: bool = False
    idle: float | None = None
    members: set[str] = field(default_factory=set)
    ended: dict[str, JobState] = field(default_factory=dict)
    holds: dict[str, float] = field(default_factory=dict)
    events: list[tuple[int, EventKind]] = field(default_factory=list)

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
        if group.over:
            group.generation += 1
            group.running = group.over = False
            group.members, group.ended = set(), {}
        group.idle = None
        group.members.add(job_id)
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
            group.events.append((group.generation, EventKind.STARTED))

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
        if state in ENDED and job.generation is not None:
            group = self.groups[job.group or ""]
            assert job_id not in group.ended, "the model itself ended a member twice"
            group.ended[job_id] = state
            self.look(job.group)

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
        if (group.generation, EventKind.STARTED) not in group.events:
            group.events.append((group.generation, EventKind.STARTED))
        group.events.append((group.generation, EventKind.COMPLETED))
        group.over, group.idle = True, None
