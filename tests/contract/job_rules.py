"""Random operations on jobs: any order, repeated, late, and without what should come before."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.testing import steps
from tests.contract.model import ENDED, LEAVES, Job
from tests.contract.random_run import PICKS, RandomRun, refused

FINISHES = st.sampled_from(
    [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED, Outcome.REQUEUED]
)
SETTLES = st.sampled_from([JobState.FAILURE, JobState.REVOKED, JobState.SKIPPED])


class JobRules(RandomRun):
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

    @rule(pick=PICKS)
    def announce(self, pick: int) -> None:
        """Recorded without a message: that follows, or never does."""
        self._enqueue(self._job(pick), published=False)

    def _enqueue(self, job_id: str, *, published: bool = True) -> None:
        ask = steps.enqueue if published else steps.announce
        known = self.model.jobs.get(job_id)
        group = self.model.groups.get(self.origins[job_id]["group_id"] or "")
        if known is None and group is not None and group.closed:
            with refused(group):
                ask(self.store, job_id, **self.origins[job_id])
            assert self.store.job(job_id) is None
            return
        result = ask(self.store, job_id, **self.origins[job_id])
        assert result.created is (known is None)
        if known is None:
            self._record_enqueued(job_id, published=published)
        elif known.state is JobState.ENQUEUED and not known.published:
            known.published = published
        elif not known.enqueued:
            known.enqueued = True
            known.expires = self.expires[job_id] if known.expires is None else known.expires

    def _record_enqueued(self, job_id: str, *, published: bool = True) -> None:
        self.model.record(job_id, self._new(job_id, JobState.ENQUEUED))
        self.model.jobs[job_id].enqueued = True
        self.model.jobs[job_id].published = published

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
        job_id, retries, run = self.tokens_of[token]
        applies = self._opens(token)
        done = steps.finish(
            self.store, job_id, token, outcome, **{**self.origins[job_id], "retries": retries, "run": run}
        )
        assert done.applied is applies
        if applies:
            self.model.close(job_id, LEAVES[outcome], outcome)
        else:
            self.model.report(job_id, token, outcome)
        self._attempts_agree(job_id)
        self._take(done.events)

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS)
    def retry(self, pick: int) -> None:
        token = self._token(pick)
        job_id, retries, _ = self.tokens_of[token]
        applies = self._opens(token)
        done = steps.retry(self.store, job_id, token, retries + 1, **self.origins[job_id])
        assert done.applied is applies
        if applies:
            self.model.close(job_id, JobState.RETRY, Outcome.RETRY)
            job = self.model.jobs[job_id]
            job.retries = max(job.retries, retries + 1)
            job.expires = self.expires[job_id] if job.expires is None else job.expires
        else:
            self.model.report(job_id, token, Outcome.RETRY)
        self._attempts_agree(job_id)
        self._take(done.events)

    @rule(pick=PICKS, state=SETTLES, unsent=st.booleans())
    def settle_from_outside(self, pick: int, state: JobState, unsent: bool) -> None:
        job_id = self._job(pick)
        known = self.model.jobs.get(job_id)
        if known is None:
            if state is JobState.SKIPPED:
                return
            self.model.record(job_id, self._new(job_id, state))
            applies = True
        else:
            applies = known.open is None and known.state not in ENDED
        reason = Reason.PUBLISH_FAILED if unsent and state is JobState.FAILURE else Reason.EXPIRED
        done = steps.settle(self.store, job_id, state, reason, **self.origins[job_id])
        assert done.applied is applies
        if applies:
            self.model.close(job_id, state)
            self.model.jobs[job_id].unsent = reason is Reason.PUBLISH_FAILED
        self._take(done.events)

    @precondition(lambda self: self.tokens_of)
    @rule(pick=PICKS)
    def reap(self, pick: int) -> None:
        """The worker of this attempt is given up."""
        token = self._token(pick)
        job_id, _, _ = self.tokens_of[token]
        known = self.model.jobs.get(job_id)
        applies = known is not None and known.open == token
        guards = {"token": token, "outcome": Outcome.LOST, "record_unknown": False, "only_from": frozenset()}
        done = steps.settle(self.store, job_id, JobState.FAILURE, Reason.WORKER_LOST, guards=guards)
        assert done.applied is applies
        if applies:
            self.model.close(job_id, JobState.FAILURE, Outcome.LOST)
            self._attempts_agree(job_id)
        self._take(done.events)

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
        self._take(done.events)

    def _new(self, job_id: str, state: JobState) -> Job:
        group = self.origins[job_id]["group_id"]
        return Job(group=group, expires=self.expires[job_id], state=state)

    def _start(self, token: str) -> None:
        job_id, retries, run = self.tokens_of[token]
        refusal = self._refusal(token)
        result = steps.start(
            self.store, job_id, token, **{**self.origins[job_id], "retries": retries, "run": run}
        )
        assert result.refusal is refusal
        assert result.admitted is (refusal is None)
        self._take(result.events)
        self._attempts_agree(job_id)

    def _attempts_agree(self, job_id: str) -> None:
        job, attempts = self.model.jobs[job_id], self.store.attempts(job_id)
        assert [(attempt.token, attempt.outcome) for attempt in attempts] == list(job.tokens.items())
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert {a.token: a.late_outcome for a in attempts if a.late_outcome} == job.late
        assert [attempt.token for attempt in attempts if attempt.is_open] == [job.open] * bool(job.open)

    def _refusal(self, token: str) -> Refusal | None:
        """Why the model refuses this start; it makes the transition too."""
        job_id, retries, run = self.tokens_of[token]
        job = self.model.jobs.get(job_id)
        if job is not None and token in job.tokens:
            return None if job.open == token else Refusal.CLOSED
        group = self.model.groups.get(self.origins[job_id]["group_id"] or "")
        expires = self.expires[job_id] if job is None else job.expires
        refusal = None
        if job is not None and job.state in ENDED:
            return Refusal.FINAL
        if job is not None and (run, retries) < (job.run, job.retries):
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
        job_id, retries, _ = self.tokens_of[token]
        job = self.model.jobs.get(job_id)
        if job is not None and (token in job.tokens or job.open is not None or job.state in ENDED):
            return job.open == token
        if job is None:
            self.model.record(job_id, self._new(job_id, JobState.STARTED))
        self.model.open(job_id, token, retries)
        return True
