"""Standing groups: each time they are filled again is a generation of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    all_events,
    enqueue,
    finish,
    group,
    run,
    settle,
    start,
    the_group,
    the_job,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class GenerationContract:
    """What begins a generation, what it counts, what it announces."""

    def test_generation_begins_with_the_first_member_after_completion(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", Outcome.FAILURE, group_id="g")
        enqueue(store, "b", group_id="g")
        record = the_group(store)
        assert (record.generation, record.state) == (2, GroupState.AWAITING)
        assert (record.started_at, record.completed_at) == (None, None)
        assert record.totals == Totals(total=1)
        assert record.earlier == Totals(total=1, failed=1)
        assert record.lifetime == Totals(total=2, failed=1)
        assert [the_job(store, name).generation for name in ("a", "b")] == [1, 2]

    def test_generation_goes_on_while_something_is_outstanding(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        run(store, "a", group_id="g")
        enqueue(store, "c", group_id="g")
        assert the_group(store).generation == 1
        assert the_group(store).totals.total == 3

    def test_generations_announce_themselves_in_order(self, store: Store, clock: Clock) -> None:
        group(store)
        for number in range(1, 5):
            enqueue(store, f"j{number}", group_id="g")
            run(store, f"j{number}", group_id="g")
        events = all_events(store, clock)
        assert [(event.generation, event.kind) for event in events] == [
            (number, kind) for number in range(1, 5) for kind in (EventKind.STARTED, EventKind.COMPLETED)
        ]
        assert len({event.id for event in events}) == 8
        assert [event.seq for event in events] == sorted(event.seq for event in events)
        assert the_group(store).lifetime == Totals(total=4, succeeded=4)

    def test_generation_is_not_begun_by_a_repeated_member(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        run(store, "job", group_id="g")
        enqueue(store, group_id="g")
        start(store, "job", "again", group_id="g")
        finish(store, "job", "t-job", Outcome.FAILURE, group_id="g")
        settle(store, "job", group_id="g")
        record = the_group(store)
        assert (record.generation, record.totals) == (1, Totals(total=1, succeeded=1))
        assert record.is_over

    def test_generation_is_begun_by_a_start_of_an_unknown_id(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        start(store, "b", "tb", group_id="g")
        assert (the_group(store).generation, the_group(store).state) == (2, GroupState.RUNNING)
        finish(store, "b", "tb", group_id="g")
        assert the_group(store).is_over

    def test_generation_of_a_settled_unknown_id_completes_at_once(self, store: Store, clock: Clock) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        settle(store, "b", JobState.FAILURE, Reason.UNKNOWN_TASK, group_id="g")
        record = the_group(store)
        assert (record.generation, record.totals, record.is_over) == (2, Totals(total=1, failed=1), True)
        assert [event.generation for event in all_events(store, clock)] == [1, 1, 2, 2]

    def test_events_of_the_next_generation_wait_for_those_before(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        (first,) = start(store, "a", "ta", group_id="g").events
        assert finish(store, "a", "ta", group_id="g").events == ()
        enqueue(store, "b", group_id="g")
        assert start(store, "b", "tb", group_id="g").events == ()
        (second,) = store.acknowledge_event(first.id, "me")
        assert (second.kind, second.generation) == (EventKind.COMPLETED, 1)
        (third,) = store.acknowledge_event(second.id, "me")
        assert (third.kind, third.generation) == (EventKind.STARTED, 2)
        assert not store.acknowledge_event(third.id, "me")
