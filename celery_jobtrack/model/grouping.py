"""The rules by which a group counts its members, starts, completes and begins again: pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.event import Cause
from celery_jobtrack.model.group import COUNTED_AS, GroupRecord, Totals, outcome_if_over
from celery_jobtrack.model.state import EventKind, GroupState, JobState

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.model.job import JobRecord

Change = tuple[GroupRecord, tuple[Cause, ...]]
"""A group after a change, and the events that the change causes, in their order."""

NO_EVENTS: tuple[Cause, ...] = ()


def join(group: GroupRecord, now: datetime, *, count: int = 1) -> GroupRecord:
    """Count new members in. A completed standing group begins its next generation.

    The caller has refused cancelled groups and completed batches before.
    """
    if group.is_over:
        group = reopen(group, keep_totals=False, for_members=True)
    totals = replace(group.totals, total=group.totals.total + count)
    due = now + timedelta(seconds=group.time_to_check)
    return group.evolve(totals=totals, idle_since=None, next_check_at=group.next_check_at or due)


def reopen(group: GroupRecord, *, keep_totals: bool, for_members: bool) -> GroupRecord:
    """Begin the next generation of a group that is over.

    Args:
        group: The group.
        keep_totals: Whether the members there are stay counted, as those of a batch do of which some
            run again.
        for_members: Whether new members shall come. A batch that lacks some waits then until it is sealed;
            otherwise it goes on lacking them.
    """
    following = group.generation + 1
    anew: dict[str, Any] = {}
    if not keep_totals:
        anew = {"earlier": group.lifetime, "totals": Totals(), "base_generation": following}
    return group.evolve(
        generation=following,
        state=GroupState.AWAITING,
        started_at=None,
        completed_at=None,
        closed_at=None,
        first_failure=None,
        # One that was cancelled before its dispatch had ended got no more members, and would wait for them.
        sealed=not (group.lacks_members and for_members) and (group.sealed or not group.standing),
        incomplete=group.lacks_members and not for_members,
        **anew,
    )


def generation_of_next_run(group: GroupRecord) -> int:
    """In which generation a member runs that is redriven now."""
    return group.generation + 1 if group.is_over else group.generation


def redrive(group: GroupRecord, job: JobRecord, now: datetime) -> tuple[GroupRecord, int | None]:
    """Count a member that has ended out of those that have, as it is about to run again.

    Gives the group, and the generation in which the member is counted now. The caller has refused
    groups that are being cancelled.
    """
    if group.is_over and not group.standing:
        group = reopen(group, keep_totals=True, for_members=False)
    if group.is_over or not group.counts(job.generation):
        # A new member of what a standing group does now.
        joined = join(group, now)
        return joined, joined.generation
    due = now + timedelta(seconds=group.time_to_check)
    return (
        group.evolve(
            totals=group.totals.counting(job.state, by=-1),
            idle_since=None,
            next_check_at=group.next_check_at or due,
        ),
        job.generation,
    )


def mark_started(group: GroupRecord, now: datetime) -> Change:
    """A member started, or somebody said so: AWAITING becomes RUNNING, once per generation."""
    if group.state is not GroupState.AWAITING or group.started_at is not None:
        return group, NO_EVENTS
    return group.evolve(state=GroupState.RUNNING, started_at=now), (Cause(kind=EventKind.STARTED),)


def count_end(group: GroupRecord, job: JobRecord, now: datetime, *, filling: bool) -> Change:
    """A member has ended: count it, and see what that means to the group.

    The first one that fails is told of before the group may be complete, and cancels the others of a
    group that wants that.
    """
    group = group.evolve(totals=group.totals.counting(job.state))
    causes: tuple[Cause, ...] = ()
    failed = job.state is JobState.FAILURE and group.state is not GroupState.CANCELLED
    if failed and group.first_failure is None:
        group = group.evolve(first_failure=job.id)
        if group.tells_failure:
            causes += (Cause(kind=EventKind.FAILED, job_id=job.id),)
        if group.cancels_on_failure:
            group = group.evolve(state=GroupState.CANCELLED, next_check_at=now)
    every = group.progress_every
    if every and group.totals.final % every == 0:
        causes += (Cause(kind=EventKind.PROGRESSED, step=group.totals.final),)
    return _caused(group, causes, now, filling=filling)


def recounted(group: GroupRecord, counted: Totals) -> Totals:
    """What the numbers of a group should be, by what its recorded members say.

    A batch that was reopened keeps the numbers of members that have been pruned since they ended.
    """
    if group.base_generation == group.generation:
        return counted
    ended = {name: max(getattr(counted, name), getattr(group.totals, name)) for name in COUNTED_AS.values()}
    return Totals(total=counted.outstanding + sum(ended.values()), **ended)


def close(group: GroupRecord, now: datetime) -> GroupRecord:
    """What follows a completion is done."""
    if not group.is_over or group.closed_at is not None:
        return group
    return group.evolve(closed_at=now, next_check_at=None)


def seal(group: GroupRecord, now: datetime, *, incomplete: bool, filling: bool) -> Change:
    """A batch gets no more members; with ``incomplete`` not all could be dispatched, which is a failure.

    For a batch that somebody had cancelled by then it is no failure, and nobody is told: it is left unsealed,
    so that it is known to lack members when some of it runs again. One that its cancellation has ended before
    it was sealed is told now whether it lacks members.

    A standing group is never sealed: ``incomplete`` tells of what its present generation was to get.
    """
    if group.standing and not (incomplete and _has_begun(group)):
        return group, NO_EVENTS
    if group.is_over and group.sealed:
        return group, NO_EVENTS
    if incomplete and group.state is GroupState.CANCELLED and group.first_failure is None:
        return group.evolve(sealed=False), NO_EVENTS
    # Who says that it is whole after all is believed as long as nobody was told of the failure.
    stays = group.incomplete and group.tells_failure
    group = group.evolve(sealed=group.sealed or not group.standing, incomplete=stays or incomplete)
    if group.is_over:
        return group, NO_EVENTS
    causes: tuple[Cause, ...] = ()
    untold = group.first_failure is None and group.state is not GroupState.CANCELLED
    if incomplete and untold and group.tells_failure:
        causes = (Cause(kind=EventKind.FAILED),)
    if incomplete and untold and group.cancels_on_failure:
        group = group.evolve(state=GroupState.CANCELLED, next_check_at=now)
    return _caused(group, causes, now, filling=filling)


def _has_begun(group: GroupRecord) -> bool:
    """Whether the present generation has members and is not over: what was never sent belongs to it."""
    return not group.is_over and group.totals.total > 0


def _caused(group: GroupRecord, causes: tuple[Cause, ...], now: datetime, *, filling: bool) -> Change:
    """The group with these events behind that of its start, and with its completion if that is due."""
    if causes and group.started_at is None:
        group, causes = group.evolve(started_at=now), (Cause(kind=EventKind.STARTED), *causes)
        if group.state is GroupState.AWAITING:
            group = group.evolve(state=GroupState.RUNNING)
    settled, more = settle_up(group, now, filling=filling)
    return settled, causes + more


def cancel(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Set the flag. Members are settled one by one afterwards; the last one completes the group."""
    if group.is_over or group.state is GroupState.CANCELLED:
        return group, NO_EVENTS
    return settle_up(group.evolve(state=GroupState.CANCELLED, next_check_at=now), now, filling=filling)


def settle_up(group: GroupRecord, now: datetime, *, filling: bool) -> Change:
    """Complete the group if nothing holds it open; otherwise say when to look again."""
    if group.is_over:
        return group, NO_EVENTS
    cancelled = group.state is GroupState.CANCELLED
    if group.outstanding > 0 or (not cancelled and (filling or _awaits_members(group))):
        return group.evolve(idle_since=None), NO_EVENTS
    if not cancelled and group.settle_after > 0:
        idle_since = group.idle_since or now
        due = idle_since + timedelta(seconds=group.settle_after)
        if now < due:
            return group.evolve(idle_since=idle_since, next_check_at=due), NO_EVENTS
    return _complete(group, now)


def _awaits_members(group: GroupRecord) -> bool:
    return group.totals.total == 0 if group.standing else not group.sealed


def _complete(group: GroupRecord, now: datetime) -> Change:
    causes: tuple[Cause, ...] = (Cause(kind=EventKind.COMPLETED, outcome=outcome_if_over(group)),)
    if group.started_at is None:
        causes = (Cause(kind=EventKind.STARTED), *causes)
    # What follows is done by whoever delivers the event, and is looked after until it is.
    due = now + timedelta(seconds=group.time_to_check) if group.needs_closing else None
    state = GroupState.CANCELLED if group.state is GroupState.CANCELLED else GroupState.COMPLETED
    return (
        group.evolve(
            state=state,
            started_at=group.started_at or now,
            completed_at=now,
            idle_since=None,
            next_check_at=due,
        ),
        causes,
    )
