from __future__ import annotations

import pytest

from celery_jobtrack.model.event import Cause
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.grouping import cancel, join, mark_started, settle_up
from celery_jobtrack.model.state import EventKind, GroupOutcome, GroupState
from tests.unit.values import NOW, at, batch, group

STARTED = Cause(kind=EventKind.STARTED)
COMPLETED = Cause(kind=EventKind.COMPLETED, outcome=GroupOutcome.SUCCEEDED)
CANCELLED = Cause(kind=EventKind.COMPLETED, outcome=GroupOutcome.CANCELLED)
FAILED = Cause(kind=EventKind.COMPLETED, outcome=GroupOutcome.FAILED)


def test_join_counts_members():
    assert join(group(2), NOW).totals.total == 3
    assert join(group(2), NOW, count=5).totals.total == 7


def test_join_sets_the_first_check_only():
    assert join(group(time_to_check=30), NOW).next_check_at == at(30)
    assert join(group(next_check_at=at(5)), NOW).next_check_at == at(5)


def test_join_ends_the_idle_time():
    assert join(group(1, succeeded=1, idle_since=NOW), at(1)).idle_since is None


def test_join_of_a_completed_group_begins_the_next_generation():
    done = group(
        3,
        succeeded=2,
        failed=1,
        generation=4,
        earlier=Totals(total=10, revoked=10),
        state=GroupState.COMPLETED,
        started_at=NOW,
        completed_at=at(1),
    )
    begun = join(done, at(2))
    assert (begun.generation, begun.state, begun.totals) == (5, GroupState.AWAITING, Totals(total=1))
    assert (begun.started_at, begun.completed_at) == (None, None)
    assert begun.earlier == Totals(total=13, succeeded=2, failed=1, revoked=10)
    assert begun.lifetime.total == 14
    assert begun.next_check_at == at(2 + begun.time_to_check)


@pytest.mark.parametrize("state", [GroupState.AWAITING, GroupState.RUNNING])
def test_join_of_a_group_that_is_not_over_stays_in_its_generation(state):
    joined = join(group(1, state=state, started_at=NOW), at(1))
    assert (joined.generation, joined.state, joined.started_at) == (1, state, NOW)


def test_mark_started_happens_once():
    running, events = mark_started(group(1), at(3))
    assert (running.state, running.started_at, events) == (GroupState.RUNNING, at(3), (STARTED,))
    assert mark_started(running, at(4)) == (running, ())


@pytest.mark.parametrize("state", [GroupState.RUNNING, GroupState.COMPLETED, GroupState.CANCELLED])
def test_mark_started_moves_awaiting_groups_only(state):
    record = group(1, state=state)
    assert mark_started(record, at(3)) == (record, ())


def test_settle_up_completes_when_nothing_is_outstanding():
    record = group(2, succeeded=1, failed=1, state=GroupState.RUNNING, started_at=NOW, next_check_at=at(60))
    done, events = settle_up(record, at(3), filling=False)
    assert events == (FAILED,)
    assert done == record.evolve(state=GroupState.COMPLETED, completed_at=at(3), next_check_at=None)


def test_settle_up_says_started_first_if_nobody_did():
    done, events = settle_up(group(1, revoked=1), at(3), filling=False)
    assert events == (STARTED, FAILED)
    assert (done.state, done.started_at, done.completed_at) == (GroupState.COMPLETED, at(3), at(3))


def test_settle_up_happens_once():
    done, _ = settle_up(group(1, succeeded=1), at(3), filling=False)
    assert settle_up(done, at(4), filling=False) == (done, ())


def test_settle_up_waits_for_members():
    record = group(2, succeeded=1, state=GroupState.RUNNING, idle_since=NOW)
    assert settle_up(record, at(3), filling=False) == (record.evolve(idle_since=None), ())


def test_settle_up_waits_for_fillers():
    record = group(1, succeeded=1, state=GroupState.RUNNING)
    assert settle_up(record, at(3), filling=True) == (record, ())


def test_settle_up_waits_for_the_first_member_of_a_standing_group():
    for state in (GroupState.AWAITING, GroupState.RUNNING):
        record = group(0, state=state)
        assert settle_up(record, at(3), filling=False) == (record, ())
        sealed = record.evolve(sealed=True)
        assert settle_up(sealed, at(3), filling=False) == (sealed, ())


@pytest.mark.parametrize("members", [0, 2])
def test_settle_up_waits_for_the_seal_of_a_batch(members):
    record = batch(members, succeeded=members)
    assert settle_up(record, at(3), filling=False) == (record, ())
    done, events = settle_up(record.evolve(sealed=True), at(3), filling=False)
    assert (done.state, events) == (GroupState.COMPLETED, (STARTED, COMPLETED))


def test_settle_up_of_an_incomplete_batch_completes_it():
    done, _ = settle_up(batch(1, failed=1, sealed=True, incomplete=True), at(3), filling=False)
    assert (done.is_over, done.incomplete) == (True, True)


def test_settle_up_waits_idle_for_a_while():
    record = group(1, succeeded=1, state=GroupState.RUNNING, started_at=NOW, settle_after=10)
    idle, events = settle_up(record, at(3), filling=False)
    assert (idle.idle_since, idle.next_check_at, events) == (at(3), at(13), ())
    still, events = settle_up(idle, at(12.9), filling=False)
    assert (still, events) == (idle, ())
    done, events = settle_up(idle, at(13), filling=False)
    assert (done.is_over, done.idle_since, done.next_check_at, events) == (True, None, None, (COMPLETED,))


def test_settle_up_is_idle_only_when_nothing_holds_it():
    record = group(1, succeeded=1, settle_after=10)
    assert settle_up(record, at(3), filling=True)[0].idle_since is None
    assert settle_up(batch(0, settle_after=10), at(3), filling=False)[0].idle_since is None


def test_settle_up_of_a_cancelled_group_waits_for_members_only():
    cancelled = batch(2, revoked=1, state=GroupState.CANCELLED, settle_after=10)
    assert settle_up(cancelled, at(3), filling=True) == (cancelled, ())
    done, events = settle_up(cancelled.evolve(totals=Totals(total=2, revoked=2)), at(3), filling=True)
    assert (done.state, done.completed_at, events) == (GroupState.CANCELLED, at(3), (STARTED, CANCELLED))


def test_cancel_sets_the_flag_and_makes_the_group_due():
    record = group(2, succeeded=1, state=GroupState.RUNNING, started_at=NOW, next_check_at=at(99))
    flagged, events = cancel(record, at(3), filling=False)
    assert events == ()
    assert flagged == record.evolve(state=GroupState.CANCELLED, next_check_at=at(3))


def test_cancel_of_a_group_without_members_outstanding_completes_it():
    done, events = cancel(group(0), at(3), filling=True)
    assert (done.state, done.completed_at, events) == (GroupState.CANCELLED, at(3), (STARTED, CANCELLED))
    held = group(1, succeeded=1, state=GroupState.RUNNING, started_at=NOW)
    assert cancel(held, at(3), filling=True)[1] == (CANCELLED,)


def test_cancel_repeated_changes_nothing():
    flagged, _ = cancel(group(1), at(3), filling=False)
    assert cancel(flagged, at(4), filling=False) == (flagged, ())


def test_cancel_of_a_group_that_is_over_changes_nothing():
    done = group(1, succeeded=1, state=GroupState.COMPLETED, completed_at=NOW)
    assert cancel(done, at(4), filling=False) == (done, ())


def test_group_lives_through_two_generations():
    record, seen = group(settle_after=0), []
    for moment in range(2):
        record = join(record, at(moment))
        record, events = mark_started(record, at(moment))
        seen += [(record.generation, kind) for kind in events]
        counted = record.evolve(totals=Totals(total=1, succeeded=1))
        record, events = settle_up(counted, at(moment), filling=False)
        seen += [(record.generation, kind) for kind in events]
    assert seen == [(1, STARTED), (1, COMPLETED), (2, STARTED), (2, COMPLETED)]
    assert record.lifetime == Totals(total=2, succeeded=2)
