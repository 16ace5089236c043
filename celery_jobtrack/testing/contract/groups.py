"""What a group is: its record, its key, its status."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import UnknownGroup
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing.steps import (
    batch,
    enqueue,
    finish,
    group,
    retry,
    run,
    settle,
    start,
    the_group,
    unlike,
)

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

PAYLOAD = {"source": "s3", "list": [1, 2.5, None, True], "nested": {"emoji 🚀": "quote ' \" \\"}}


class GroupContract:
    """``create_group``, ``group``, ``group_by_key``, ``group_status``, ``mark_running``."""

    def test_group_is_kept_as_it_was_given(self, store: Store) -> None:
        more = {
            "title": "Nightly import",
            "key": "nightly",
            "description": "all of it",
            "payload": PAYLOAD,
            "standing": False,
            "time_to_check": 30.5,
            "settle_after": 2.25,
            "parent_id": "parent",
        }
        before = store.now()
        created = group(store, "g", **more)
        record = the_group(store)
        assert record == created
        assert {name: getattr(record, name) for name in more} == more
        assert (record.state, record.generation, record.totals.total) == (GroupState.AWAITING, 1, 0)
        assert (record.started_at, record.completed_at, record.sealed) == (None, None, False)
        assert before <= record.created_at <= store.now()

    @pytest.mark.parametrize("payload", [None, [], {}, "text", 0, False, [{"a": 1}], PAYLOAD])
    def test_group_keeps_any_payload(self, store: Store, payload: object) -> None:
        group(store, "g", payload=payload)
        kept = the_group(store).payload
        assert kept == payload
        assert type(kept) is type(payload)

    def test_group_that_is_not_there_is_none(self, store: Store) -> None:
        assert store.group("nobody") is None
        assert store.group_by_key("nobody") is None
        assert store.group_status("nobody") is None

    def test_group_key_names_one_group(self, store: Store) -> None:
        first = group(store, "g1", key="nightly", title="first")
        second = group(store, "g2", key="nightly", title="second")
        assert second == first
        assert store.group("g2") is None
        assert store.group_by_key("nightly") == first

    def test_group_key_is_optional(self, store: Store) -> None:
        group(store, "g1")
        group(store, "g2")
        assert store.group("g1") is not None
        assert store.group("g2") is not None

    def test_group_created_twice_is_the_first(self, store: Store) -> None:
        first = group(store, "g", title="first")
        again = store.create_group(unlike(first, title="second"))
        assert again == first == the_group(store)

    def test_group_created_twice_keeps_its_members(self, store: Store) -> None:
        first = group(store, "g", key="k")
        enqueue(store, group_id="g")
        assert store.create_group(first).totals.total == 1
        assert the_group(store).totals.total == 1

    @pytest.mark.parametrize("operation", ["mark_running", "cancel_group", "seal_group", "recompute_group"])
    def test_group_that_is_unknown_is_an_error(self, store: Store, operation: str) -> None:
        with pytest.raises(UnknownGroup):
            getattr(store, operation)("nobody")

    def test_group_that_is_unknown_cannot_be_filled(self, store: Store) -> None:
        with pytest.raises(UnknownGroup):
            store.begin_filling("nobody", "f", 60)

    def test_status_counts_members_by_state(self, store: Store) -> None:
        group(store)
        for number in range(9):
            enqueue(store, f"j{number}", group_id="g")
        start(store, "j1", "t1", group_id="g")
        start(store, "j2", "t2", group_id="g")
        retry(store, "j2", "t2", 1, group_id="g")
        run(store, "j3", Outcome.SUCCESS, group_id="g")
        run(store, "j4", Outcome.SUCCESS, group_id="g")
        run(store, "j5", Outcome.FAILURE, group_id="g")
        settle(store, "j6", JobState.REVOKED, Reason.TERMINATED)
        settle(store, "j7", JobState.SKIPPED, Reason.OVERLAP)
        status = store.group_status("g")
        assert status is not None
        assert (status.total, status.enqueued, status.started, status.retrying) == (9, 2, 1, 1)
        assert (status.succeeded, status.failed, status.revoked, status.skipped) == (2, 1, 1, 1)
        assert (status.waiting, status.outstanding, status.final) == (0, 4, 5)
        assert status.percent == pytest.approx(100 * 5 / 9)
        assert (status.state, status.generation, status.group_id) == (GroupState.RUNNING, 1, "g")

    def test_status_counts_the_present_generation_only(self, store: Store) -> None:
        group(store)
        enqueue(store, "a", group_id="g")
        run(store, "a", group_id="g")
        enqueue(store, "b", group_id="g")
        status = store.group_status("g")
        assert status is not None
        assert (status.generation, status.total, status.succeeded, status.enqueued) == (2, 1, 0, 1)
        assert status.state is GroupState.AWAITING

    def test_status_says_who_fills(self, store: Store, clock: Clock) -> None:
        group(store)
        store.begin_filling("g", "f", 60)
        status = store.group_status("g")
        assert status is not None
        assert status.filling
        clock.advance(61)
        status = store.group_status("g")
        assert status is not None
        assert not status.filling

    def test_status_guesses_the_end(self, store: Store, clock: Clock) -> None:
        group(store)
        for number in range(4):
            enqueue(store, f"j{number}", group_id="g")
        start(store, "j0", "t0", group_id="g")
        clock.advance(100)
        finish(store, "j0", "t0", group_id="g")
        status = store.group_status("g")
        assert status is not None
        assert status.eta is not None
        left = status.eta - store.now()
        assert timedelta(seconds=290) < left < timedelta(seconds=330)

    def test_mark_running_starts_the_group_once(self, store: Store) -> None:
        group(store)
        changed = store.mark_running("g")
        assert [event.kind for event in changed.events] == [EventKind.STARTED]
        assert (changed.group.state, the_group(store).state) == (GroupState.RUNNING, GroupState.RUNNING)
        assert the_group(store).started_at is not None
        assert store.mark_running("g").events == ()
        enqueue(store, group_id="g")
        assert start(store, group_id="g").events == ()

    def test_first_start_starts_the_group(self, store: Store) -> None:
        group(store)
        for name in ("a", "b"):
            enqueue(store, name, group_id="g")
        assert the_group(store).state is GroupState.AWAITING
        first = start(store, "a", "ta", group_id="g")
        assert [(event.kind, event.group_id) for event in first.events] == [(EventKind.STARTED, "g")]
        assert the_group(store).state is GroupState.RUNNING
        assert start(store, "b", "tb", group_id="g").events == ()
        assert store.mark_running("g").events == ()

    def test_groups_do_not_meet(self, store: Store) -> None:
        group(store, "g1")
        group(store, "g2")
        enqueue(store, "a", group_id="g1")
        enqueue(store, "b", group_id="g2")
        run(store, "a", group_id="g1")
        assert the_group(store, "g1").is_over
        assert the_group(store, "g2").outstanding == 1
        assert not the_group(store, "g2").is_over

    def test_batch_is_no_standing_group(self, store: Store) -> None:
        assert not batch(store, "b").standing
        assert group(store, "s").standing
