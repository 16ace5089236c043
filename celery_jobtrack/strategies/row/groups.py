"""The operations of groups and of their events over locked rows."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled
from celery_jobtrack.model import grouping
from celery_jobtrack.model.grouping import NO_EVENTS
from celery_jobtrack.model.requests import GroupChanged
from celery_jobtrack.model.state import GroupState
from celery_jobtrack.strategies.row.base import RowBase
from celery_jobtrack.strategies.row.jobs import check_open_for_members
from celery_jobtrack.strategies.unknown import unknown_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.grouping import Change
    from celery_jobtrack.strategies.row.rows import Rows

FILLING_CHECK = 30.0
"""Seconds after which a group that is being filled is looked at again: its filler may have died."""


class GroupOperations(RowBase):
    """Create, mark, cancel, seal, fill and recompute groups; claim and acknowledge events."""

    def create_group(self, group: GroupRecord) -> GroupRecord:
        def write(rows: Rows) -> GroupRecord:
            existing = rows.group(group.id, lock=False)
            taken = None if group.key is None else rows.group_id_of_key(group.key)
            if existing is None and taken is not None:
                existing = rows.group(taken, lock=False)
            if existing is not None:
                return existing
            now = rows.now()
            created = group.evolve(created_at=now, next_check_at=None)
            rows.insert_group(created)
            return created

        return self._run(write)

    def mark_running(self, group_id: str) -> GroupChanged:
        return self._change(group_id, lambda group, rows: grouping.mark_started(group, rows.now()))

    def cancel_group(self, group_id: str) -> GroupChanged:
        return self._change(
            group_id,
            lambda group, rows: grouping.cancel(group, rows.now(), filling=rows.is_filling(group.id)),
        )

    def seal_group(self, group_id: str, *, incomplete: bool = False) -> GroupChanged:
        def seal(group: GroupRecord, rows: Rows) -> Change:
            filling = rows.is_filling(group.id)
            return grouping.seal(group, rows.now(), incomplete=incomplete, filling=filling)

        return self._change(group_id, seal)

    def begin_filling(self, group_id: str, token: str, seconds: float) -> GroupChanged:
        def hold(group: GroupRecord, rows: Rows) -> Change:
            check_open_for_members(group)
            return _held(rows, group, token, seconds), NO_EVENTS

        return self._change(group_id, hold)

    def reopen_group(self, group_id: str, token: str, seconds: float, *, keep_totals: bool) -> GroupChanged:
        def reopen(group: GroupRecord, rows: Rows) -> Change:
            if group.is_over:
                group = grouping.reopen(group, keep_totals=keep_totals, for_members=True)
            elif group.state is GroupState.CANCELLED:
                raise GroupCancelled(
                    f"group {group.title!r} ({group.id}) is being cancelled: {group.outstanding} of its "
                    "members have not ended; reopen it when they have"
                )
            return _held(rows, group, token, seconds), NO_EVENTS

        return self._change(group_id, reopen)

    def close_group(self, group_id: str) -> GroupChanged:
        return self._change(group_id, lambda group, rows: (grouping.close(group, rows.now()), NO_EVENTS))

    def end_filling(self, group_id: str, token: str) -> GroupChanged:
        def let_go(group: GroupRecord, rows: Rows) -> Change:
            # Those of a batch that is not sealed tell that its dispatcher died.
            rows.let_go(group_id, token, and_of_dead=group.standing or group.sealed)
            return grouping.settle_up(group, rows.now(), filling=rows.is_filling(group_id))

        return self._change(group_id, let_go)

    def recompute_group(self, group_id: str) -> GroupChanged:
        drift: list[str] = []

        def recompute(group: GroupRecord, rows: Rows) -> Change:
            drift.clear()
            if group.is_over:
                waits = [group.time_to_check] if group.needs_closing and group.closed_at is None else []
                if rows.is_filling(group_id):
                    waits.append(FILLING_CHECK)
                due = rows.now() + timedelta(seconds=min(waits)) if waits else None
                return group.evolve(next_check_at=due), NO_EVENTS
            found = rows.count_members(group_id, group.base_generation, group.generation)
            counted = grouping.recounted(group, found)
            if counted != group.totals:
                drift.append(f"counted {counted}, recorded {group.totals}")
            if (pauses := rows.recount_pauses(group)) is not None:
                drift.append(f"counted {pauses[1]}, recorded {pauses[0]}")
            now, filling = rows.now(), rows.is_filling(group_id)
            seconds = min(group.time_to_check, FILLING_CHECK) if filling else group.time_to_check
            mended = group.evolve(totals=counted, next_check_at=now + timedelta(seconds=seconds))
            return grouping.settle_up(mended, now, filling=filling)

        changed = self._change(group_id, recompute)
        return GroupChanged(group=changed.group, events=changed.events, repaired="; ".join(drift) or None)

    def _change(self, group_id: str, make: _Make) -> GroupChanged:
        def write(rows: Rows) -> GroupChanged:
            group = rows.group(group_id, lock=True)
            if group is None:
                raise unknown_group(group_id, rows.namespace)
            change = make(group, rows)
            return GroupChanged(group=change[0], events=self._write_change(rows, group, change))

        return self._run(write)

    # -- events --------------------------------------------------------------------------------

    def claim_events(
        self, claimed_by: str, *, group_id: str | None = None, limit: int = 50
    ) -> Sequence[EventRecord]:
        def candidates(rows: Rows) -> Sequence[str]:
            return [group_id] if group_id is not None else rows.groups_with_pending_events(limit)

        claimed: list[EventRecord] = []
        for candidate in self._run(candidates):
            claimed += self._run(partial(self._claim_locked, group_id=candidate, claimed_by=claimed_by))
        return claimed

    def acknowledge_event(self, event_id: str, claimed_by: str) -> Sequence[EventRecord]:
        def write(rows: Rows) -> Sequence[EventRecord]:
            # The group's lock makes this wait for a transition that is just adding an event to the
            # same group: either that one sees this delivery, or its event is claimed below.
            event = _locked_event(rows, event_id)
            if event is None or event.delivered_at is not None:
                return ()
            rows.update_event(event, event.evolve(delivered_at=rows.now(), tries=event.tries + 1))
            return self._claim_next(rows, event.group_id, claimed_by)

        return self._run(write)

    def postpone_event(self, event_id: str, error: str, *, seconds: float | None) -> None:
        def write(rows: Rows) -> None:
            event = _locked_event(rows, event_id)
            # One that was given up stays so: what comes after it may have been delivered.
            if event is None or not event.is_pending:
                return
            until = None if seconds is None else rows.now() + timedelta(seconds=seconds)
            failed = event.evolve(
                tries=event.tries + 1, error=error, claimed_until=until, undeliverable=seconds is None
            )
            rows.update_event(event, failed)

        self._run(write)

    def _claim_locked(self, rows: Rows, group_id: str, claimed_by: str) -> tuple[EventRecord, ...]:
        if rows.group(group_id, lock=True) is None:
            return ()
        return self._claim_next(rows, group_id, claimed_by)


def _held(rows: Rows, group: GroupRecord, token: str, seconds: float) -> GroupRecord:
    """The group with a filler's hold on it."""
    until = rows.now() + timedelta(seconds=seconds)
    rows.hold(group.id, token, until)
    due = group.next_check_at
    # A filler that dies must not keep the group waiting for its next regular check.
    return group.evolve(next_check_at=until if due is None else min(due, until))


def _locked_event(rows: Rows, event_id: str) -> EventRecord | None:
    """The event as it is once its group is locked; whoever held the lock may have delivered it."""
    event = rows.event(event_id)
    if event is None:
        return None
    rows.group(event.group_id, lock=True)
    return rows.event(event_id)


if TYPE_CHECKING:
    from collections.abc import Callable

    _Make = Callable[[GroupRecord, Rows], Change]
