"""Random runs: every operation in any order, and what must hold after each step and at the end."""

from __future__ import annotations

from collections import Counter

from hypothesis.stateful import invariant

from celery_jobtrack.model.fault import FaultKind
from celery_jobtrack.model.requests import GroupQuery, JobQuery
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing import steps
from tests.contract.event_rules import EventRules
from tests.contract.group_rules import GroupRules
from tests.contract.model import ENDED
from tests.contract.rerun_rules import RerunRules

BROUGHT_BY_TIME = {FaultKind.FILLER, FaultKind.UNDELIVERED, FaultKind.GIVEN_UP, FaultKind.UNFINISHED}


class StoreMachine(RerunRules, GroupRules, EventRules):
    @invariant()
    def jobs_are_as_the_model_says(self) -> None:
        recorded = {job.id: job for job in self.store.jobs(JobQuery(limit=500)).items}
        assert set(recorded) == set(self.model.jobs)
        for job_id, expected in self.model.jobs.items():
            job = recorded[job_id]
            found = (
                job.state,
                job.run,
                job.retries,
                job.token,
                job.attempts,
                job.generation,
                job.copy_waiting,
            )
            assert found == (
                expected.state,
                expected.run,
                expected.retries,
                expected.open,
                len(expected.tokens),
                expected.generation,
                expected.copy,
            )
            assert (job.finished_at is not None) is (job.state in ENDED)
            assert (job.enqueued_at is not None) is expected.enqueued
            assert (job.published_at is not None) is expected.published
            assert (job.expires_at is None) is (expected.expires is None)
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
            assert (record.generation, record.base_generation, record.state, record.is_over) == (
                group.generation,
                group.base,
                group.state,
                group.over,
            )
            assert (record.first_failure, record.incomplete, record.outcome, record.sealed) == (
                group.failed_first,
                group.incomplete,
                group.outcome,
                group.sealed,
            )
            assert (record.closed_at is not None) is group.done
            assert record.lifetime.total == len(group.joined)
            status = self.store.group_status(record.id)
            assert status is not None
            live = Counter(self.model.jobs[job_id].state for job_id in group.members - set(group.ended))
            assert (status.enqueued, status.started, status.retrying) == (
                live[JobState.ENQUEUED],
                live[JobState.STARTED],
                live[JobState.RETRY],
            )

    @invariant()
    def members_come_in_the_order_of_recording(self) -> None:
        for group_id in self.model.groups:
            recorded = [job_id for job_id, job in self.model.jobs.items() if job.group == group_id]
            assert [job.id for job in self.store.members(group_id, 100).items] == recorded

    @invariant()
    def events_come_once_and_in_order(self) -> None:
        for event in self.claims:
            identity = (event.group_id, event.generation, event.kind, event.step)
            assert self.identities.setdefault(event.id, identity) == identity
        assert len(set(self.identities.values())) == len(self.identities)
        for group_id, settled in self.settled.items():
            assert settled == self.model.groups[group_id].events[: len(settled)]

    def teardown(self) -> None:
        try:
            self._nothing_is_wrong()
            self._let_the_checker_work()
            self._nothing_is_wrong()
            self._deliver_the_rest()
        finally:
            self._stack.close()

    def _nothing_is_wrong(self) -> None:
        """The doctor finds nothing but what time brings: nobody renews holds, nobody has to deliver."""
        found, cursor = [], None
        while True:
            page = self.store.faults(cursor)
            found += [fault for fault in page.faults if fault.kind not in BROUGHT_BY_TIME]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [], found

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
            kinds = Counter(event[:3] for event in group.events)
            assert all(count == 1 for count in kinds.values())
        assert not self.store.has_due_events()
