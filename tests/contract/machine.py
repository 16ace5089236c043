"""Random runs: every operation in any order, repeated, late and reordered, against the model."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from celery_jobtrack.model.requests import GroupQuery, JobQuery, Refusal
from celery_jobtrack.model.state import EventKind, JobState, Outcome, Reason
from celery_jobtrack.testing import Clock, steps
from tests.contract.model import ENDED, LEAVES, Group, Job, Model

if TYPE_CHECKING:
    from celery_jobtrack.model.event import EventRecord
    from tests.contract.backends import Backend

# Times are multiples of 100 s apart, limits lie between them: no real delay decides a comparison.
TICK = 100.0
LIMITS = st.sampled_from([50.0, 150.0, 250.0])
GROUPS = {
    "standing": Group(),
    "slow": Group(settle_after=150.0),
    "batch": Group(standing=False),
    "batch-2": Group(standing=False),
}
GROUP_IDS = st.sampled_from(sorted(GROUPS))
# To which group a job belongs goes by its number, and what it is limited to by another remainder.
MEMBERSHIPS = ["standing", "batch", "standing", "slow", "standing", "batch-2", None]
EXPIRIES = [None, None, 150.0, None, 350.0]
JOBS = 21
PICKS = st.integers(0, 11)
FILLERS = st.sampled_from(["filler-1", "filler-2"])
FINISHES = st.sampled_from(
    [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED, Outcome.REQUEUED]
)
SETTLES = st.sampled_from([JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED])


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.clock = Clock()
        self._stack = ExitStack()
        self.store = self._stack.enter_context(backend.fresh(self.clock))
        self.begin = self.store.now()
        self.model = Model()
        self.origins: dict[str, dict[str, Any]] = {}
        self.expires: dict[str, float | None] = {}
        self.tokens_of: dict[str, tuple[str, int]] = {}
        self.claims: list[EventRecord] = []
        self.identities: dict[str, tuple[str, int, EventKind]] = {}
        self.settled: dict[str, list[tuple[int, EventKind]]] = {group_id: [] for group_id in GROUPS}
        for group_id, group in GROUPS.items():
            self.model.groups[group_id] = Group(standing=group.standing, settle_after=group.settle_after)
            steps.group(self.store, group_id, standing=group.standing, settle_after=group.settle_after)

    def teardown(self) -> None:
        try:
            self._let_the_checker_work()
            self._deliver_the_rest()
        finally:
            self._stack.close()

    # -- jobs ----------------------------------------------------------------------------------

    @rule(pick=PICKS)
    def run_a_job(self, pick: int) -> None:
        """All goes well, unless the job has been somewhere before."""
        job_id = self._job(pick)
        self._enqueue(job_id)
        token = self._new_token(job_id, behind=0)
        self._start(token)
        self._finish(token, Outcome.SUCCESS)

    @rule(pick=PICKS)
    def enqueue(self, pick: int) -> None:
        self._enqueue(self._job(pick))

    def _enqueue(self, job_id: str) -> None:
        known = job_id in self.model.jobs
        group = self.model.groups.get(self.origins[job_id]["group_id"] or "")
        if not known and group is not None and group.closed:
            try:
                steps.enqueue(self.store, job_id, **self.origins[job_id])
            except GroupCancelled:
                assert group.cancelled
            except GroupCompleted:
                assert group.over
                assert not group.cancelled
            else:
                raise AssertionError("a closed group took a member")
            assert self.store.job(job_id) is None
            return
        result = steps.enqueue(self.store, job_id, **self.origins[job_id])
        assert result.created is not known
        if not known:
            self.model.record(job_id, self._new(job_id, JobState.ENQUEUED))

    @rule(pick=PICKS, behind=st.sampled_from([0, 0, 0, 1]))
    def start(self, pick: int, behind: int) -> None:
        """A message arrives: the first, a copy, or one of an earlier retry."""
        self._start(self._new_token(self._job(pick), behind=behind))

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS)
    def start_again(self, pick: int) -> None:
        """The same call once more, whatever became of the first."""
        self._start(self._token(pick))

    @rule(pick=PICKS)
    def start_that_is_never_told(self, pick: int) -> None:
        self._new_token(self._job(pick), behind=0)

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS, outcome=FINISHES)
    def finish(self, pick: int, outcome: Outcome) -> None:
        self._finish(self._token(pick), outcome)

    def _finish(self, token: str, outcome: Outcome) -> None:
        job_id, retries = self.tokens_of[token]
        applies = self._opens(token)
        done = steps.finish(
            self.store, job_id, token, outcome, **{**self.origins[job_id], "retries": retries}
        )
        assert done.applied is applies
        if applies:
            self.model.close(job_id, LEAVES[outcome])
        self.claims += done.events

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS)
    def retry(self, pick: int) -> None:
        token = self._token(pick)
        job_id, retries = self.tokens_of[token]
        applies = self._opens(token)
        done = steps.retry(self.store, job_id, token, retries + 1, **self.origins[job_id])
        assert done.applied is applies
        if applies:
            self.model.close(job_id, JobState.RETRY)
            self.model.jobs[job_id].retries = max(self.model.jobs[job_id].retries, retries + 1)
        self.claims += done.events

    @rule(pick=PICKS, state=SETTLES)
    def settle_from_outside(self, pick: int, state: JobState) -> None:
        job_id = self._job(pick)
        known = self.model.jobs.get(job_id)
        if known is None:
            if state is JobState.SKIPPED:
                return
            self.model.record(job_id, self._new(job_id, state))
            applies = True
        else:
            applies = known.open is None and known.state not in ENDED
        done = steps.settle(self.store, job_id, state, Reason.EXPIRED, **self.origins[job_id])
        assert done.applied is applies
        if applies:
            self.model.close(job_id, state)
        self.claims += done.events

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS)
    def reap(self, pick: int) -> None:
        """The worker of this attempt is given up."""
        token = self._token(pick)
        job_id, _ = self.tokens_of[token]
        known = self.model.jobs.get(job_id)
        applies = known is not None and known.open == token
        guards = {"token": token, "outcome": Outcome.LOST, "record_unknown": False, "only_from": frozenset()}
        done = steps.settle(self.store, job_id, JobState.FAILURE, Reason.WORKER_LOST, guards=guards)
        assert done.applied is applies
        if applies:
            self.model.close(job_id, JobState.FAILURE)
        self.claims += done.events

    @rule(pick=PICKS)
    def cancel_job(self, pick: int) -> None:
        job_id = self._job(pick)
        known = self.model.jobs.get(job_id)
        if known is None:
            return
        applies = known.open is None and known.state not in ENDED
        done = self.store.request_cancel(job_id)
        assert done.applied is applies
        if applies:
            self.model.close(job_id, JobState.REVOKED)
        elif known.open is not None:
            known.flagged = True
        self.claims += done.events

    # -- groups --------------------------------------------------------------------------------

    @rule(group_id=GROUP_IDS)
    def mark_running(self, group_id: str) -> None:
        self.claims += self.store.mark_running(group_id).events
        self.model.run(group_id)

    @rule(group_id=st.sampled_from(["batch", "batch", "batch-2", "slow", "standing"]), sure=st.integers(0, 3))
    def cancel_group(self, group_id: str, sure: int) -> None:
        if sure:  # a cancelled group is dull: not too soon
            return
        self.claims += self.store.cancel_group(group_id).events
        group = self.model.groups[group_id]
        if not group.over:
            group.cancelled = True
            self.model.look(group_id)

    @rule(group_id=st.sampled_from(["batch", "batch-2"]), incomplete=st.booleans())
    def seal(self, group_id: str, incomplete: bool) -> None:
        self.claims += self.store.seal_group(group_id, incomplete=incomplete).events
        self.model.groups[group_id].sealed = True
        self.model.look(group_id)

    @rule(group_id=GROUP_IDS, token=FILLERS, seconds=LIMITS)
    def begin_filling(self, group_id: str, token: str, seconds: float) -> None:
        group = self.model.groups[group_id]
        if group.closed:
            try:
                self.store.begin_filling(group_id, token, seconds)
            except (GroupCancelled, GroupCompleted):
                return
            raise AssertionError("a closed group is being filled")
        self.store.begin_filling(group_id, token, seconds)
        group.holds[token] = self.model.now + seconds

    @rule(group_id=GROUP_IDS, token=FILLERS)
    def end_filling(self, group_id: str, token: str) -> None:
        self.claims += self.store.end_filling(group_id, token).events
        self.model.groups[group_id].holds.pop(token, None)
        self.model.look(group_id)

    @rule(group_id=GROUP_IDS)
    def recompute(self, group_id: str) -> None:
        changed = self.store.recompute_group(group_id)
        assert changed.repaired is None, "the counters drifted"
        self.claims += changed.events
        self.model.look(group_id)

    @rule(ticks=st.integers(1, 3))
    def let_time_pass(self, ticks: int) -> None:
        self.clock.advance(ticks * TICK)
        self.model.now += ticks * TICK

    # -- events --------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self.claims += self.store.claim_events("courier", limit=limit)

    @rule()
    def crash_while_delivering(self) -> None:
        self.claims.clear()

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if not self.claims:
            return
        event = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        self._settle_event(event)
        self.claims += self.store.acknowledge_event(event.id, "courier")

    @rule(data=st.data(), seconds=st.none() | LIMITS)
    def fail_to_deliver(self, data: st.DataObject, seconds: float | None) -> None:
        if not self.claims:
            return
        event = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        if seconds is None:
            self._settle_event(event)
        self.store.postpone_event(event.id, "refused", seconds=seconds)

    # -- what must hold after every step ---------------------------------------------------------

    @invariant()
    def jobs_are_as_the_model_says(self) -> None:
        recorded = {job.id: job for job in self.store.jobs(JobQuery(limit=500)).items}
        assert set(recorded) == set(self.model.jobs)
        for job_id, expected in self.model.jobs.items():
            job = recorded[job_id]
            found = (job.state, job.retries, job.token, job.attempts, job.generation, job.copy_waiting)
            assert found == (
                expected.state,
                expected.retries,
                expected.open,
                len(expected.tokens),
                expected.generation,
                expected.copy,
            )
            assert (job.finished_at is not None) is (job.state in ENDED)
        states = Counter(job.state for job in self.model.jobs.values())
        assert {state: count for state, count in self.store.counts().items() if count} == states

    @invariant()
    def groups_count_identities(self) -> None:
        for record in self.store.groups(GroupQuery(limit=500)).items:
            group = self.model.groups[record.id]
            ends = Counter(group.ended.values())
            totals = record.totals
            assert totals.total == len(group.members)
            assert totals.outstanding == len(group.members - set(group.ended))
            assert (totals.succeeded, totals.failed, totals.revoked, totals.skipped) == (
                ends[JobState.SUCCESS],
                ends[JobState.FAILURE],
                ends[JobState.REVOKED],
                ends[JobState.SKIPPED],
            )
            assert (record.generation, record.state, record.is_over) == (
                group.generation,
                group.state,
                group.over,
            )
            assert record.lifetime.total == len(
                [job for job in self.model.jobs.values() if job.group == record.id and job.generation]
            )

    @invariant()
    def events_come_once_and_in_order(self) -> None:
        for event in self.claims:
            identity = (event.group_id, event.generation, event.kind)
            assert self.identities.setdefault(event.id, identity) == identity
        assert len(set(self.identities.values())) == len(self.identities)
        for group_id, settled in self.settled.items():
            assert settled == self.model.groups[group_id].events[: len(settled)]

    # -- how ---------------------------------------------------------------------------------------

    def _job(self, pick: int) -> str:
        """A job that something happened to lately, or (odd picks) a new name and what its messages say."""
        number = len(self.origins)
        if number == 0 or (pick % 2 and number < JOBS):
            limit = EXPIRIES[number % len(EXPIRIES)]
            expires = None if limit is None else self.model.now + limit
            expires_at = None if expires is None else self.begin + timedelta(seconds=expires)
            self.origins[f"job-{number}"] = {
                "group_id": MEMBERSHIPS[number % len(MEMBERSHIPS)],
                "expires_at": expires_at,
            }
            self.expires[f"job-{number}"] = expires
            return f"job-{number}"
        return f"job-{(number - 1 - pick // 2) % number}"

    def _new_token(self, job_id: str, *, behind: int) -> str:
        """Of an attempt at the job's last retry, or at one ``behind``."""
        known = self.model.jobs.get(job_id)
        token = f"token-{len(self.tokens_of)}"
        self.tokens_of[token] = (job_id, max(0, (known.retries if known else 0) - behind))
        return token

    def _token(self, pick: int) -> str:
        """The token of an attempt that is open, or else one of the last."""
        tokens = list(self.tokens_of)
        opened = [job.open for job in self.model.jobs.values() if job.open]
        return [*opened, *reversed(tokens)][pick % min(len(opened) + len(tokens), 12)]

    def _new(self, job_id: str, state: JobState) -> Job:
        group = self.origins[job_id]["group_id"]
        return Job(group=group, expires=self.expires[job_id], state=state)

    def _start(self, token: str) -> None:
        job_id, retries = self.tokens_of[token]
        refusal = self._refusal(token)
        result = steps.start(self.store, job_id, token, **{**self.origins[job_id], "retries": retries})
        assert result.refusal is refusal
        assert result.admitted is (refusal is None)
        self.claims += result.events
        opened = [attempt.token for attempt in self.store.attempts(job_id) if attempt.is_open]
        assert opened == [job.open for job in [self.model.jobs[job_id]] if job.open]
        assert [attempt.token for attempt in self.store.attempts(job_id)] == self.model.jobs[job_id].tokens

    def _refusal(self, token: str) -> Refusal | None:
        """Why the model refuses this start; it makes the transition too."""
        job_id, retries = self.tokens_of[token]
        job = self.model.jobs.get(job_id)
        if job is not None and token in job.tokens:
            return None if job.open == token else Refusal.CLOSED
        group = self.model.groups.get(self.origins[job_id]["group_id"] or "")
        expires = self.expires[job_id]
        refusal = None
        if job is not None and job.state in ENDED:
            return Refusal.FINAL
        if job is not None and retries < job.retries:
            return Refusal.STALE
        if job is not None and job.open is not None:
            job.copy = True
            return Refusal.OPEN
        if job is not None and job.flagged:
            refusal = Refusal.CANCELLED
        elif group is not None and group.cancelled:
            refusal = Refusal.GROUP_CANCELLED
        elif expires is not None and expires < self.model.now:
            refusal = Refusal.EXPIRED
        if job is None:
            self.model.record(job_id, self._new(job_id, JobState.STARTED))
            self.model.jobs[job_id].retries = retries
        if refusal is None:
            self.model.open(job_id, token, retries)
        else:
            self.model.close(job_id, JobState.REVOKED)
        return refusal

    def _opens(self, token: str) -> bool:
        """Whether a report of this attempt applies; one that never was told of is opened first."""
        job_id, retries = self.tokens_of[token]
        job = self.model.jobs.get(job_id)
        if job is not None and (token in job.tokens or job.open is not None or job.state in ENDED):
            return job.open == token
        if job is None:
            self.model.record(job_id, self._new(job_id, JobState.STARTED))
        self.model.open(job_id, token, retries)
        return True

    def _settle_event(self, event: EventRecord) -> None:
        identity = (event.group_id, event.generation, event.kind)
        self.identities.setdefault(event.id, identity)
        done = self.settled[event.group_id]
        if (event.generation, event.kind) not in done:
            done.append((event.generation, event.kind))

    def _let_the_checker_work(self) -> None:
        """What is due and only that is recomputed: every group that can complete has to."""
        for _ in range(4):
            self.let_time_pass(3)
            for group_id in self.store.due_groups(50):
                self.recompute(group_id)
        for group_id, group in self.model.groups.items():
            self.model.look(group_id)
            record = steps.the_group(self.store, group_id)
            assert record.is_over is group.over, f"the checker did not find {group_id}"

    def _deliver_the_rest(self) -> None:
        self.claims.clear()
        for event in steps.all_events(self.store, self.clock):
            self._settle_event(event)
        for group_id, group in self.model.groups.items():
            assert self.settled[group_id] == group.events
            kinds = Counter(group.events)
            assert all(count == 1 for count in kinds.values())
        assert not self.store.has_due_events()
