"""Halts: queues and tasks of which nothing may start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.halt import HaltKind

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

QUEUE, TASK = HaltKind.QUEUE, HaltKind.TASK


class HaltContract:
    """``halt``, ``lift`` and ``halts``."""

    def test_halt_is_recorded_with_its_time_and_reason(self, store: Store) -> None:
        before = store.now()
        assert store.halt(QUEUE, "low", "the printer is away")
        (halt,) = store.halts()
        assert (halt.kind, halt.name, halt.reason) == (QUEUE, "low", "the printer is away")
        assert before <= halt.since <= store.now()

    def test_second_halt_changes_nothing(self, store: Store, clock: Clock) -> None:
        store.halt(QUEUE, "low", "first")
        (first,) = store.halts()
        clock.advance(10)
        assert not store.halt(QUEUE, "low", "second")
        assert list(store.halts()) == [first]

    def test_halt_without_a_reason_has_none(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        assert store.halts()[0].reason is None

    def test_lift_takes_a_halt_back_once(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        assert store.lift(TASK, "shop.send").applied
        assert not store.halts()
        assert not store.lift(TASK, "shop.send").applied

    def test_halt_that_was_lifted_begins_anew(self, store: Store, clock: Clock) -> None:
        store.halt(QUEUE, "low", "first")
        (first,) = store.halts()
        store.lift(QUEUE, "low")
        clock.advance(10)
        assert store.halt(QUEUE, "low", "second")
        (second,) = store.halts()
        assert second.reason == "second"
        assert second.since > first.since

    def test_queue_and_task_of_one_name_are_two(self, store: Store) -> None:
        assert store.halt(QUEUE, "mail")
        assert store.halt(TASK, "mail")
        assert store.lift(QUEUE, "mail").applied
        assert [halt.kind for halt in store.halts()] == [TASK]

    def test_halts_are_queues_then_tasks_by_name(self, store: Store) -> None:
        for kind, name in ((TASK, "b"), (QUEUE, "z:y"), (TASK, "a"), (QUEUE, "\N{SNOWMAN}"), (QUEUE, "Z")):
            store.halt(kind, name)
        expected = [(QUEUE, "Z"), (QUEUE, "z:y"), (QUEUE, "\N{SNOWMAN}"), (TASK, "a"), (TASK, "b")]
        assert [(halt.kind, halt.name) for halt in store.halts()] == expected

    def test_names_differ_by_every_byte(self, store: Store) -> None:
        assert store.halt(QUEUE, "low")
        assert store.halt(QUEUE, "Low")
        assert store.halt(QUEUE, "low ")
        assert len(store.halts()) == 3

    def test_reason_may_be_any_text(self, store: Store) -> None:
        store.halt(QUEUE, "low", "a\nb 'quoted' \N{SNOWMAN} " + "x" * 5000)
        assert store.halts()[0].reason == "a\nb 'quoted' \N{SNOWMAN} " + "x" * 5000
