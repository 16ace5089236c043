"""Random redrives, and random chunks of jobs that are new, known, or could not be sent the time before."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from celery_jobtrack.errors import GroupCancelled, UnknownJob
from celery_jobtrack.model.requests import EnqueueRequest
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing import steps
from tests.contract.job_rules import JobRules
from tests.contract.model import ENDED
from tests.contract.random_run import PICKS, refused


class RerunRules(JobRules):
    @rule(pick=PICKS)
    def redrive(self, pick: int) -> None:
        job_id = self._job(pick)
        known = self.model.jobs.get(job_id)
        if known is None:
            try:
                steps.redrive(self.store, job_id)
            except UnknownJob:
                return
            raise AssertionError("a job that nobody knows runs again")
        group = self.model.groups.get(known.group or "")
        applies = known.state in ENDED - {JobState.SUCCESS}
        if applies and group is not None and group.cancelled and not group.over:
            try:
                steps.redrive(self.store, job_id)
            except GroupCancelled:
                return
            raise AssertionError("a member of a group that is being cancelled runs again")
        assert steps.redrive(self.store, job_id).applied is applies
        if applies:
            self.model.redrive(job_id)

    @rule(pick=PICKS)
    def redrive_and_run(self, pick: int) -> None:
        """What is redriven mostly runs."""
        self.redrive(pick)
        job_id = self._job(pick)
        if job_id in self.model.jobs:
            self._start(self._new_token(job_id, behind=0))

    @rule(picks=st.lists(PICKS, min_size=1, max_size=5))
    def dispatch(self, picks: list[int]) -> None:
        """A chunk of the jobs of one group; some may come twice in it."""
        chosen = [self._job(pick) for pick in picks]
        group_id = self.origins[chosen[0]]["group_id"]
        chunk = [job_id for job_id in chosen if self.origins[job_id]["group_id"] == group_id]
        group = self.model.groups.get(group_id or "")
        new = [job_id for job_id in dict.fromkeys(chunk) if job_id not in self.model.jobs]
        again = [
            job_id
            for job_id in dict.fromkeys(chunk)
            if job_id in self.model.jobs and self.model.jobs[job_id].unsent
        ]
        cancelling = group is not None and group.cancelled and not group.over
        # A job that runs again reopens a group that is over, and so it takes members again.
        if group is not None and (
            (again and cancelling) or (new and group.closed and not (again and group.over))
        ):
            with refused(group):
                self.store.enqueue_many(self._requests(chunk))
            return
        results = self.store.enqueue_many(self._requests(chunk))
        first = {job_id: place for place, job_id in reversed(list(enumerate(chunk)))}
        assert [result.created for result in results] == [
            first[job_id] == place and job_id in {*new, *again} for place, job_id in enumerate(chunk)
        ]
        for job_id in again:
            self.model.redrive(job_id)
        for job_id in new:
            self._record_enqueued(job_id)
        assert [result.job.run for result in results] == [self.model.jobs[job_id].run for job_id in chunk]

    def _requests(self, job_ids: list[str]) -> list[EnqueueRequest]:
        return [
            EnqueueRequest(origin=steps.origin(job_id, **self.origins[job_id]), message=b"m")
            for job_id in job_ids
        ]
