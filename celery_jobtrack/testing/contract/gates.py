"""What becomes of the jobs of a halted queue or task: they wait at a gate."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.halt import HaltKind, gate_of
from celery_jobtrack.model.lock import Kind, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.testing.keys import KEY, WAIT, assert_free, claim, standings
from celery_jobtrack.testing.steps import (
    batch,
    enqueue,
    finish,
    retry,
    run,
    start,
    start_request,
    the_group,
    the_job,
)
from celery_jobtrack.testing.threads import Crowd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock

QUEUE, TASK = HaltKind.QUEUE, HaltKind.TASK
LOW, SEND = gate_of(QUEUE, "low"), gate_of(TASK, "shop.send")
IN_LOW: dict[str, Any] = {"queue": "low"}
SENDING: dict[str, Any] = {"task": "shop.send"}
MANY = 250


def park(store: Store, *names: str, **more: Any) -> None:
    """Dispatch jobs, and have each of them start, which is refused."""
    for name in names:
        enqueue(store, name, **more)
        assert start(store, name, f"t-{name}", **more).refusal is Refusal.PARKED


def publish(store: Store, called: Iterable[str]) -> list[str]:
    """Publish those who were called, each once."""
    names = list(called)
    for name in names:
        assert store.unpark(name).applied
        assert not store.unpark(name).applied
    return names


class GateContract:
    """``start`` of what is halted, and ``lift``."""

    def test_start_of_a_halted_queue_is_parked(self, store: Store) -> None:
        enqueue(store, "a", **IN_LOW)
        store.halt(QUEUE, "low")
        result = start(store, "a", "ta", **IN_LOW)
        assert (result.refusal, result.settled, result.called) == (Refusal.PARKED, False, ())
        job = the_job(store, "a")
        assert (job.state, job.waits_for, job.token, job.attempts) == (JobState.WAITING, LOW, None, 0)
        assert standings(store, LOW) == {"a": Standing.WAITING}
        assert start(store, "a", "ta", **IN_LOW).refusal is Refusal.PARKED
        assert not store.attempts("a")

    def test_start_of_a_halted_task_is_parked(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        park(store, "a", **SENDING)
        assert the_job(store, "a").waits_for == SEND

    def test_others_start(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        store.halt(TASK, "shop.send")
        store.halt(QUEUE, "shop.resize")
        store.halt(TASK, "celery")
        enqueue(store, "a")
        assert start(store, "a", "ta").admitted
        enqueue(store, "b", queue=None)
        assert start(store, "b", "tb", queue=None).admitted
        assert start(store, "unknown", "tc", queue="other").admitted

    def test_job_that_could_not_be_published_again_starts(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        enqueue(store, "a", message=None, **IN_LOW)
        assert start(store, "a", "ta", **IN_LOW).admitted
        assert start(store, "unknown", "tb", **IN_LOW).admitted

    def test_body_that_runs_already_is_not_held_back(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        enqueue(store, "a", **IN_LOW)
        assert store.start(replace(start_request("a", "ta", **IN_LOW), asks=False)).admitted
        assert finish(store, "a", "ta", **IN_LOW).applied

    def test_running_job_ends_as_ever(self, store: Store) -> None:
        enqueue(store, "a", **IN_LOW)
        start(store, "a", "ta", **IN_LOW)
        store.halt(QUEUE, "low")
        assert start(store, "a", "ta", **IN_LOW).admitted
        assert finish(store, "a", "ta", **IN_LOW).applied
        assert the_job(store, "a").state is JobState.SUCCESS

    def test_retry_is_parked(self, store: Store) -> None:
        enqueue(store, "a", **IN_LOW)
        start(store, "a", "ta", **IN_LOW)
        store.halt(QUEUE, "low")
        retry(store, "a", "ta", 1, **IN_LOW)
        assert start(store, "a", "tb", retries=1, **IN_LOW).refusal is Refusal.PARKED
        assert publish(store, store.lift(QUEUE, "low").called) == ["a"]
        assert start(store, "a", "tb", retries=1, **IN_LOW).admitted
        assert finish(store, "a", "tb", retries=1, **IN_LOW).applied
        assert the_job(store, "a").state is JobState.SUCCESS
        assert_free(store, LOW)

    def test_lift_calls_who_waits_in_the_order_of_the_line(self, store: Store, clock: Clock) -> None:
        store.halt(QUEUE, "low")
        for name, priority in (("b", 5), ("low", 0), ("high", 9), ("c", 5)):
            clock.advance(1)
            enqueue(store, name, priority=priority, **IN_LOW)
            start(store, name, f"t-{name}", priority=priority, **IN_LOW)
        assert store.called_jobs(10) == []
        called = store.lift(QUEUE, "low").called
        assert list(called) == ["high", "b", "c", "low"]
        assert sorted(store.called_jobs(10)) == sorted(called)
        publish(store, called)
        assert store.called_jobs(10) == []
        for name in called:
            assert start(store, name, f"t2-{name}", **IN_LOW).admitted
            assert finish(store, name, f"t2-{name}", **IN_LOW).applied
        assert_free(store, LOW)

    def test_many_are_called_bit_by_bit(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        names = [f"j{number:03}" for number in range(MANY)]
        park(store, *names, **SENDING)
        assert not store.lifted_halts()
        first = store.lift(TASK, "shop.send")
        assert first.applied
        assert 0 < len(first.called) < MANY
        # Whoever lifted it may die here: somebody else finds it.
        assert not store.halts()
        called = list(first.called)
        while store.lifted_halts():
            (halt,) = store.lifted_halts()
            more = store.lift(halt.kind, halt.name)
            assert not more.applied
            called += more.called
        assert called == names
        publish(store, called)
        assert_free(store, SEND)
        assert store.lift(TASK, "shop.send").called == ()

    def test_who_comes_while_others_are_called_starts(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        park(store, *(f"j{number:03}" for number in range(MANY)), **SENDING)
        store.lift(TASK, "shop.send")
        enqueue(store, "new", **SENDING)
        assert start(store, "new", "t-new", **SENDING).admitted

    def test_lift_that_comes_second_calls_nobody(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        park(store, "a", **IN_LOW)
        assert store.lift(QUEUE, "low").called == ("a",)
        again = store.lift(QUEUE, "low")
        assert (again.applied, tuple(again.called)) == (False, ())

    def test_job_that_was_called_is_parked_again_if_the_gate_was_closed(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        park(store, "a", "b", **IN_LOW)
        publish(store, store.lift(QUEUE, "low").called)
        store.halt(QUEUE, "low")
        for name in ("a", "b"):
            assert start(store, name, f"t2-{name}", **IN_LOW).refusal is Refusal.PARKED
        assert publish(store, store.lift(QUEUE, "low").called) == ["a", "b"]
        run(store, "a", **IN_LOW)
        run(store, "b", **IN_LOW)
        assert_free(store, LOW)

    def test_halt_that_somebody_has_recorded_since_is_not_lifted(self, store: Store) -> None:
        store.halt(TASK, "shop.send")
        park(store, *(f"j{number:03}" for number in range(MANY)), **SENDING)
        store.lift(TASK, "shop.send")
        assert store.lift(TASK, "shop.send", only_if_lifted=True).called
        store.halt(TASK, "shop.send", "again")
        lifted = store.lift(TASK, "shop.send", only_if_lifted=True)
        assert (lifted.applied, tuple(lifted.called)) == (False, ())
        assert [halt.reason for halt in store.halts()] == ["again"]

    def test_who_is_parked_gives_up_his_turn_at_slots(self, store: Store) -> None:
        slots = claim(key="slots:api")
        enqueue(store, "holder", **slots)
        start(store, "holder", "t-holder", **slots)
        enqueue(store, "a", **SENDING, **slots)
        enqueue(store, "b", **slots)
        publish(store, finish(store, "holder", "t-holder", **slots).called)
        store.halt(TASK, "shop.send")
        result = start(store, "a", "tp", **SENDING, **slots)
        assert (result.refusal, tuple(result.called)) == (Refusal.PARKED, ("b",))
        publish(store, result.called)
        assert start(store, "b", "to", **slots).admitted

    def test_who_is_parked_gives_up_his_turn_at_a_rate(self, store: Store) -> None:
        rate = claim(key="starts:api", kind=Kind.RATE, interval=10.0)
        enqueue(store, "a", **SENDING, **rate)
        assert enqueue(store, "b", **rate).held_back
        store.halt(TASK, "shop.send")
        result = start(store, "a", "tp", **SENDING, **rate)
        assert (result.refusal, tuple(result.called)) == (Refusal.PARKED, ("b",))
        publish(store, result.called)
        assert start(store, "b", "to", **rate).admitted

    def test_who_is_parked_keeps_a_lock_between_its_attempts(self, store: Store) -> None:
        lock = claim(key="overlap:x")
        enqueue(store, "a", **SENDING, **lock)
        start(store, "a", "ta", **SENDING, **lock)
        store.halt(TASK, "shop.send")
        retry(store, "a", "ta", 1, **SENDING, **lock)
        assert start(store, "a", "tb", retries=1, **SENDING, **lock).refusal is Refusal.PARKED
        assert standings(store, "overlap:x") == {"a": Standing.HOLDING}

    def test_gate_that_is_closed_again_keeps_who_was_not_called(self, store: Store, clock: Clock) -> None:
        store.halt(TASK, "shop.send", "first")
        park(store, *(f"j{number:03}" for number in range(MANY)), **SENDING)
        called = list(store.lift(TASK, "shop.send").called)
        clock.advance(10)
        assert store.halt(TASK, "shop.send", "second")
        assert [halt.reason for halt in store.halts()] == ["second"]
        assert not store.lifted_halts()
        # Who was called before is published, and comes back.
        publish(store, called)
        for name in called:
            assert start(store, name, f"t2-{name}", **SENDING).refusal is Refusal.PARKED
        assert set(standings(store, SEND).values()) == {Standing.WAITING}
        lifted = store.lift(TASK, "shop.send")
        assert lifted.applied
        again = list(lifted.called)
        while more := store.lift(TASK, "shop.send").called:
            again += more
        assert sorted(again) == [f"j{number:03}" for number in range(MANY)]

    def test_queue_and_task_are_two_gates(self, store: Store) -> None:
        both = {**IN_LOW, **SENDING}
        store.halt(QUEUE, "low")
        store.halt(TASK, "shop.send")
        park(store, "a", **both)
        assert the_job(store, "a").waits_for == LOW
        publish(store, store.lift(QUEUE, "low").called)
        assert start(store, "a", "t2", **both).refusal is Refusal.PARKED
        assert the_job(store, "a").waits_for == SEND
        publish(store, store.lift(TASK, "shop.send").called)
        assert start(store, "a", "t3", **both).admitted
        finish(store, "a", "t3", **both)
        assert_free(store, LOW)
        assert_free(store, SEND)

    def test_job_at_a_gate_has_no_other_key(self, store: Store) -> None:
        enqueue(store, "a", **IN_LOW, **WAIT)
        store.halt(QUEUE, "low")
        assert start(store, "a", "ta", **IN_LOW, **WAIT).refusal is Refusal.PARKED
        assert the_job(store, "a").waits_for == LOW
        assert standings(store, KEY) == {}
        enqueue(store, "b", **WAIT)
        assert start(store, "b", "tb", **WAIT).admitted
        publish(store, store.lift(QUEUE, "low").called)
        assert start(store, "a", "ta2", **IN_LOW, **WAIT).refusal is Refusal.PARKED
        assert the_job(store, "a").waits_for == KEY
        publish(store, finish(store, "b", "tb", **WAIT).called)
        assert start(store, "a", "ta3", **IN_LOW, **WAIT).admitted
        finish(store, "a", "ta3", **IN_LOW, **WAIT)
        assert_free(store, LOW)
        assert_free(store, KEY)

    def test_release_of_a_gate_opens_nothing(self, store: Store, clock: Clock) -> None:
        store.halt(QUEUE, "low")
        clock.advance(3600)
        store.prune_locks(store.now(), 100)
        assert tuple(store.release_lock(LOW)) == ()
        park(store, "a", "b", **IN_LOW)
        assert tuple(store.release_lock(LOW)) == ()
        assert tuple(store.call_due(LOW)) == ()
        assert standings(store, LOW) == {"a": Standing.WAITING, "b": Standing.WAITING}
        assert store.called_jobs(10) == []
        publish(store, store.lift(QUEUE, "low").called)
        store.halt(QUEUE, "low")
        assert start(store, "a", "t2", **IN_LOW).refusal is Refusal.PARKED
        assert tuple(store.release_lock(LOW)) == ()
        assert store.lift(QUEUE, "low").called == ("a",)

    def test_release_of_a_gate_leaves_who_was_called_his_turn(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        park(store, "a", **IN_LOW)
        store.lift(QUEUE, "low")
        assert tuple(store.release_lock(LOW)) == ()
        assert publish(store, store.called_jobs(10)) == ["a"]
        assert_free(store, LOW)

    def test_job_at_a_gate_lets_others_of_its_queue_go_before_it(self, store: Store) -> None:
        queued = claim(key="deadline:celery", kind=Kind.QUEUE, until_start=True)
        for name, about in (("a", {**IN_LOW, **queued}), ("b", queued), ("c", queued)):
            enqueue(store, name, **about)
        store.halt(QUEUE, "low")
        result = start(store, "a", "ta", **IN_LOW, **queued)
        assert (result.refusal, tuple(result.called)) == (Refusal.PARKED, ("b",))
        assert standings(store, "deadline:celery") == {"b": Standing.CALLED, "c": Standing.WAITING}
        publish(store, result.called)
        assert start(store, "b", "tb", **queued).called == ("c",)
        publish(store, ["c"])
        assert start(store, "c", "tc", **queued).admitted
        publish(store, store.lift(QUEUE, "low").called)
        assert start(store, "a", "ta2", **IN_LOW, **queued).admitted
        assert_free(store, "deadline:celery")
        assert_free(store, LOW)

    def test_job_at_a_gate_leaves_the_clock_by_which_it_was_due(self, store: Store, clock: Clock) -> None:
        at = store.now() + timedelta(seconds=10)
        due = {**claim(key="clock:today", kind=Kind.CLOCK, until_start=True, at=at), "eta": at}
        assert enqueue(store, "a", **IN_LOW, **due).held_back
        clock.advance(11)
        publish(store, store.call_due("clock:today"))
        store.halt(QUEUE, "low")
        result = start(store, "a", "ta", **IN_LOW, **due)
        assert (result.refusal, tuple(result.called)) == (Refusal.PARKED, ())
        assert_free(store, "clock:today")
        publish(store, store.lift(QUEUE, "low").called)
        assert start(store, "a", "ta2", **IN_LOW, **due).admitted

    def test_job_at_a_gate_stays_the_only_one(self, store: Store) -> None:
        only = claim(OnConflict.SKIP, key="unique:report", kind=Kind.UNIQUE, until_start=True)
        enqueue(store, "a", **IN_LOW, **only)
        store.halt(QUEUE, "low")
        assert start(store, "a", "ta", **IN_LOW, **only).refusal is Refusal.PARKED
        assert standings(store, "unique:report") == {"a": Standing.HOLDING}
        assert enqueue(store, "b", **only).held_back
        assert the_job(store, "b").state is JobState.SKIPPED
        publish(store, store.lift(QUEUE, "low").called)
        assert start(store, "a", "ta2", **IN_LOW, **only).admitted
        assert_free(store, "unique:report")

    def test_cancelled_job_leaves_the_gate_and_calls_nobody(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        park(store, "a", "b", **IN_LOW)
        result = store.request_cancel("a")
        assert (result.applied, tuple(result.called)) == (True, ())
        job = the_job(store, "a")
        assert (job.state, job.reason) == (JobState.REVOKED, Reason.CANCELLED)
        assert standings(store, LOW) == {"b": Standing.WAITING}
        assert store.lift(QUEUE, "low").called == ("b",)

    def test_cancelled_job_that_was_called_is_not_published(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        park(store, "a", **IN_LOW)
        store.lift(QUEUE, "low")
        assert store.request_cancel("a").applied
        assert not store.unpark("a").applied
        assert store.called_jobs(10) == []
        assert_free(store, LOW)

    def test_member_at_a_gate_is_counted_as_waiting(self, store: Store) -> None:
        batch(store, "g")
        store.halt(QUEUE, "low")
        for name in ("a", "b"):
            enqueue(store, name, group_id="g", **IN_LOW)
        assert start(store, "a", "ta", group_id="g", **IN_LOW).refusal is Refusal.PARKED
        status = store.group_status("g")
        assert status is not None
        assert (status.waiting, status.enqueued, status.started) == (1, 1, 0)
        publish(store, store.lift(QUEUE, "low").called)
        for name in ("a", "b"):
            run(store, name, group_id="g", **IN_LOW)
        store.seal_group("g")
        assert the_group(store, "g").is_over

    def test_gate_holds_though_its_key_was_forgotten(self, store: Store, clock: Clock) -> None:
        store.halt(QUEUE, "low")
        clock.advance(3600)
        store.prune_locks(store.now(), 100)
        park(store, "a", "b", **IN_LOW)
        clock.advance(3600)
        assert store.prune_locks(store.now(), 100) == 0
        assert store.request_cancel("a").called == ()
        assert store.lift(QUEUE, "low").called == ("b",)
        publish(store, ["b"])
        clock.advance(3600)
        assert store.prune_locks(store.now(), 100) == 1
        assert store.lock(LOW) is None

    def test_doctor_finds_nothing_wrong_with_a_closed_gate(self, store: Store) -> None:
        store.halt(QUEUE, "low")
        store.halt(TASK, "shop.send")
        park(store, "a", "b", **IN_LOW)
        publish(store, store.lift(QUEUE, "low").called)
        store.halt(QUEUE, "low")
        start(store, "a", "t2", **IN_LOW)
        cursor: str | None = None
        while True:
            page = store.faults(cursor)
            assert not page.faults
            cursor = page.cursor
            if cursor is None:
                break

    def test_nobody_is_left_behind_by_pauses_that_come_and_go(self, store: Store) -> None:
        names = [f"j{number:02}" for number in range(30)]
        for name in names:
            enqueue(store, name, **IN_LOW)

        def work(number: int) -> list[str]:
            """The first pauses and resumes; the others start jobs, each of its own."""
            if number == 0:
                called: list[str] = []
                for _ in range(20):
                    store.halt(QUEUE, "low")
                    called += store.lift(QUEUE, "low").called
                return called
            for name in names[number - 1 :: 5]:
                start(store, name, f"t-{name}", **IN_LOW)
            return []

        with Crowd(6) as crowd:
            called, *_ = crowd.together(work)
        called += store.lift(QUEUE, "low").called
        assert not store.halts()
        assert not store.lifted_halts()
        jobs = {name: the_job(store, name) for name in names}
        assert {job.state for job in jobs.values()} <= {JobState.STARTED, JobState.WAITING}
        # Who waits was called, once, and nobody else was.
        assert sorted(called) == sorted(name for name in names if jobs[name].state is JobState.WAITING)
        publish(store, called)
        assert_free(store, LOW)
