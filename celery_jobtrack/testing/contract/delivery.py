"""The events of groups: who may deliver them, in which order, and what a failure does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import EventKind
from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing.steps import all_events, enqueue, finish, group, run, settle, start

if TYPE_CHECKING:
    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


def _completed_group(store: Store, group_id: str = "g") -> EventRecord:
    """A group whose two events exist; the first is claimed by this process."""
    group(store, group_id)
    enqueue(store, f"{group_id}-job", group_id=group_id)
    (event,) = settle(store, f"{group_id}-job").events
    return event


class DeliveryContract:
    """``claim_events``, ``acknowledge_event``, ``postpone_event``, ``has_due_events``, ``delivers``."""

    def test_event_is_claimed_by_whoever_caused_it(self, store: Store) -> None:
        event = _completed_group(store)
        assert event.kind is EventKind.STARTED
        assert event.claimed_by == store.claimant
        assert event.claimed_until is not None
        assert event.claimed_until > store.now()
        assert (event.group_id, event.generation, event.tries) == ("g", 1, 0)
        assert event.is_pending
        assert not store.claim_events("other")
        assert not store.claim_events("other", group_id="g")
        assert not store.has_due_events()

    def test_event_is_left_unclaimed_where_nobody_delivers(self, store: Store) -> None:
        store.delivers = lambda: False
        event = _completed_group(store)
        assert event.kind is EventKind.STARTED
        assert event.claimed_until is None
        assert store.has_due_events()
        (claimed,) = store.claim_events("worker")
        assert (claimed.id, claimed.claimed_by) == (event.id, "worker")

    def test_event_claim_runs_out(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        clock.advance(EVENT_CLAIM + 1)
        assert store.has_due_events()
        (claimed,) = store.claim_events("other")
        assert (claimed.id, claimed.claimed_by) == (event.id, "other")
        assert not store.claim_events("third")
        assert not store.has_due_events()

    def test_event_id_is_stable_over_deliveries(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        for number in range(3):
            clock.advance(EVENT_CLAIM + 1)
            (claimed,) = store.claim_events(f"courier-{number}")
            assert claimed.id == event.id

    def test_completed_is_not_given_out_before_started_is_delivered(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        clock.advance(EVENT_CLAIM + 1)
        (claimed,) = store.claim_events("one")
        assert claimed.kind is EventKind.STARTED
        assert not store.claim_events("two", group_id="g")
        (completed,) = store.acknowledge_event(event.id, "one")
        assert (completed.kind, completed.claimed_by) == (EventKind.COMPLETED, "one")
        assert not store.claim_events("two")
        assert not store.acknowledge_event(completed.id, "one")
        assert not store.has_due_events()

    def test_acknowledgement_gives_what_came_meanwhile(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        (started,) = start(store, group_id="g").events
        assert finish(store, group_id="g").events == ()
        (completed,) = store.acknowledge_event(started.id, store.claimant)
        assert completed.kind is EventKind.COMPLETED

    def test_completion_after_an_acknowledgement_is_claimed_by_its_cause(self, store: Store) -> None:
        group(store)
        enqueue(store, group_id="g")
        (started,) = start(store, group_id="g").events
        assert not store.acknowledge_event(started.id, store.claimant)
        (completed,) = finish(store, group_id="g").events
        assert (completed.kind, completed.claimed_by) == (EventKind.COMPLETED, store.claimant)

    def test_acknowledgement_repeated_gives_nothing(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        (completed,) = store.acknowledge_event(event.id, "one")
        assert not store.acknowledge_event(event.id, "one")
        assert not store.acknowledge_event("nobody", "one")
        clock.advance(EVENT_CLAIM + 1)
        assert not store.acknowledge_event(event.id, "one"), "it claims only after the first time"
        store.acknowledge_event(completed.id, "one")
        clock.advance(EVENT_CLAIM + 1)
        assert not store.claim_events("two")

    def test_acknowledgement_after_the_claim_ran_out_counts(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        clock.advance(EVENT_CLAIM + 1)
        (completed,) = store.acknowledge_event(event.id, "slow")
        assert completed.kind is EventKind.COMPLETED

    def test_postponed_event_comes_again_in_time(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        store.postpone_event(event.id, "ValueError: no 🚫", seconds=30)
        assert not store.claim_events("other")
        assert not store.has_due_events()
        clock.advance(31)
        assert store.has_due_events()
        (again,) = store.claim_events("other")
        assert (again.id, again.tries, again.error) == (event.id, 1, "ValueError: no 🚫")
        store.postpone_event(event.id, "again", seconds=600)
        clock.advance(300)
        assert not store.claim_events("other")
        clock.advance(301)
        assert store.claim_events("other")[0].tries == 2

    def test_postponed_event_holds_back_what_follows(self, store: Store) -> None:
        event = _completed_group(store)
        store.postpone_event(event.id, "later", seconds=30)
        assert not store.claim_events("other", group_id="g")

    def test_event_given_up_lets_the_next_pass(self, store: Store) -> None:
        event = _completed_group(store)
        store.postpone_event(event.id, "hopeless", seconds=None)
        assert store.has_due_events()
        (completed,) = store.claim_events("other")
        assert completed.kind is EventKind.COMPLETED
        assert not store.acknowledge_event(completed.id, "other")
        assert not store.has_due_events()

    def test_event_given_up_is_never_given_out_again(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        store.postpone_event(event.id, "hopeless", seconds=None)
        store.postpone_event(event.id, "a late failure", seconds=1)
        clock.advance(EVENT_CLAIM + 1)
        assert [found.kind for found in all_events(store, clock)] == [EventKind.COMPLETED]

    def test_event_delivered_cannot_be_postponed(self, store: Store, clock: Clock) -> None:
        event = _completed_group(store)
        store.acknowledge_event(event.id, "one")
        store.postpone_event(event.id, "too late", seconds=1)
        store.postpone_event("nobody", "too late", seconds=1)
        assert [found.kind for found in all_events(store, clock)] == [EventKind.COMPLETED]

    def test_claims_begin_with_the_oldest(self, store: Store, clock: Clock) -> None:
        for number in range(5):
            _completed_group(store, f"g{number}")
        clock.advance(EVENT_CLAIM + 1)
        assert [event.group_id for event in store.claim_events("one", limit=2)] == ["g0", "g1"]
        assert [event.group_id for event in store.claim_events("two", limit=2)] == ["g2", "g3"]
        assert [event.group_id for event in store.claim_events("three")] == ["g4"]

    def test_claims_may_be_of_one_group(self, store: Store, clock: Clock) -> None:
        _completed_group(store, "g1")
        _completed_group(store, "g2")
        clock.advance(EVENT_CLAIM + 1)
        assert [event.group_id for event in store.claim_events("one", group_id="g2")] == ["g2"]
        assert not store.claim_events("one", group_id="nobody")
        assert [event.group_id for event in store.claim_events("one")] == ["g1"]

    def test_groups_do_not_wait_for_each_other(self, store: Store) -> None:
        first = _completed_group(store, "g1")
        second = _completed_group(store, "g2")
        store.postpone_event(first.id, "later", seconds=600)
        assert store.acknowledge_event(second.id, "one")[0].kind is EventKind.COMPLETED

    def test_jobs_without_a_group_cause_no_events(self, store: Store) -> None:
        assert run(store, "alone").events == ()
        assert not store.has_due_events()
        assert not store.claim_events("one")
