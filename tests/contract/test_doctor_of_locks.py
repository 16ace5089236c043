"""Each fault of keys and places: made by hand, found, mended, and gone; and what is well is found well."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.config import Settings
from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.fault import Fault, FaultKind
from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.row import mending_locks
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.keys import KEY, LATEST, WAIT, assert_free, claim, standings
from celery_jobtrack.tracking.doctor import Doctor
from celery_jobtrack.tracking.tracker import Tracker
from tests.contract.backends import ROW_NAMES
from tests.contract.damage import MemoryHand, SqlHand
from tests.contract.ward import Ward
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

K = FaultKind
rows = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)
tables = pytest.mark.parametrize(
    "backend", [n for n in ROW_NAMES if not n.startswith("memory")], indirect=True
)


class HandledWard(Ward):
    """One with a hand in its store."""

    def __init__(self, store: Store, hand: Any) -> None:
        super().__init__(store)
        self.hand = hand

    def called(self) -> list[str]:
        return list(self.store.called_jobs(10))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ward(backend: Backend, clock: Clock) -> Iterator[HandledWard]:
    with backend.fresh(clock) as store:
        yield HandledWard(store, MemoryHand(store) if backend.name.startswith("memory") else SqlHand(store))


@pytest.fixture
def line(ward: HandledWard, clock: Clock) -> HandledWard:
    """One has the key, and two wait for it."""
    steps.start(ward.store, "has", "t-has", **WAIT)
    for job_id in ("first", "second"):
        clock.advance(1)
        steps.enqueue(ward.store, job_id, **WAIT)
    return ward


def hand_over(store: Store, job_id: str, then: str) -> None:
    """Whoever has the key leaves it to the next in line, who takes it."""
    assert steps.finish(store, job_id, f"t-{job_id}").called == (then,)
    assert store.unpark(then).applied
    assert steps.start(store, then, f"t-{then}", **WAIT).admitted


def end_all(store: Store, *job_ids: str) -> None:
    """They go through the key one after the other, and nothing of it is left."""
    for job_id, then in pairwise(job_ids):
        hand_over(store, job_id, then)
    steps.finish(store, job_ids[-1], f"t-{job_ids[-1]}")
    assert_free(store)


# -- what is well ------------------------------------------------------------------------------------


@rows
def test_doctor_finds_nothing_wrong_with_locks_that_transitions_wrote(line, clock):
    store = line.store
    two = claim(key="two", limit=2)
    for number in range(4):
        steps.start(store, f"two-{number}", f"t-two-{number}", **two)
    steps.start(store, "x", "tx", **claim(key="latest"))
    for number in range(3):
        clock.advance(1)
        steps.enqueue(store, f"latest-{number}", claims=(claim_of_latest(),))
    steps.start(store, "y", "ty", **claim(key="called"))
    steps.enqueue(store, "called", **claim(key="called"))
    steps.finish(store, "y", "ty")
    steps.start(store, "taken-away", "tt", **claim(key="taken"))
    store.release_lock("taken")
    steps.start(store, "kept", "tk", **claim(key="kept"))
    steps.retry(store, "kept", "tk", **claim(key="kept"))
    steps.start(store, "free", "tf", **claim(key="free"))
    steps.finish(store, "free", "tf")
    diagnosis = line.doctor.examine()
    assert diagnosis.findings == ()
    assert diagnosis.examined > 10 or not isinstance(line.hand, SqlHand)


def claim_of_latest():
    (found,) = LATEST["claims"]
    return type(found)(key="latest", on_conflict=found.on_conflict)


@rows
def test_superseded_whose_key_was_deleted_is_no_fault(ward, clock):
    latest = claim_of_latest()
    steps.start(ward.store, "has", "t-has", claims=(latest,))
    for job_id in ("older", "newer"):
        clock.advance(1)
        steps.enqueue(ward.store, job_id, claims=(latest,))
    steps.settle(ward.store, "newer")
    steps.finish(ward.store, "has", "t-has")
    clock.advance(10)
    assert ward.store.prune_locks(ward.store.now(), 10) == 1
    assert list(ward.store.superseded_jobs(10)) == ["older"]
    assert ward.faults() == []


@rows
def test_limit_that_was_raised_is_no_fault(ward, clock):
    steps.start(ward.store, "has", "t-has", **WAIT)
    steps.enqueue(ward.store, "waits", **WAIT)
    steps.enqueue(ward.store, "comes", **claim(limit=3))
    before, called = ward.store.lock(KEY), ward.called()
    assert before.limit == 3
    assert ward.faults() == []
    assert not ward.store.mend(Fault(kind=K.LOCK, subject=KEY, text=""))
    assert (ward.store.lock(KEY), ward.called()) == (before, called)


# -- places ------------------------------------------------------------------------------------------


@rows
def test_doctor_takes_away_the_place_of_a_job_that_is_gone(line):
    line.hand.delete("jobs", "has")
    line.hand.delete("attempts", "t-has")
    (fault,) = line.faults()
    assert fault.text == f"job has has a place at lock {KEY!r}, and is not recorded"
    assert line.is_cured_of(K.PLACE)
    assert standings(line.store) == {"first": Standing.CALLED, "second": Standing.WAITING}
    assert line.called() == ["first"]
    assert line.store.unpark("first").applied
    steps.start(line.store, "first", "t-first", **WAIT)
    end_all(line.store, "first", "second")


@rows
def test_doctor_takes_away_the_place_in_line_of_a_job_that_is_gone(line):
    line.hand.delete("jobs", "first")
    assert line.is_cured_of(K.PLACE)
    end_all(line.store, "has", "second")


@rows
@pytest.mark.parametrize("state", [JobState.SUCCESS, JobState.REVOKED])
def test_doctor_takes_away_the_place_of_a_job_that_has_ended(line, state):
    line.hand.change("attempts", "t-has", outcome=Outcome.SUCCESS)
    line.hand.change("jobs", "has", state=state, token=None, finished_at=line.store.now())
    (fault,) = line.faults()
    assert fault.text == f"job has has ended as {state}, and has a place at lock {KEY!r}"
    assert line.is_cured_of(K.PLACE)
    assert line.called() == ["first"]


@rows
def test_doctor_sees_that_a_job_leaves_its_places_that_did_not_say_it_has_some(line):
    line.hand.change("jobs", "has", keyed=False)
    (fault,) = line.faults()
    assert fault.text == f"job has has a place at lock {KEY!r}, and would not leave it at its end"
    assert line.is_cured_of(K.PLACE)
    end_all(line.store, "has", "first", "second")


@rows
def test_doctor_puts_a_parked_job_back_in_line(line):
    line.hand.delete_place(KEY, "first")
    line.hand.change("locks", KEY, waiting=1)
    (fault,) = line.faults()
    assert fault.text == f"job first (shop.resize) waits for the lock {KEY!r}, and is not in its line"
    assert line.is_cured_of(K.PLACE)
    assert [place.job_id for place in line.store.places(KEY, 10)] == ["has", "first", "second"]
    end_all(line.store, "has", "first", "second")


@rows
def test_doctor_calls_a_parked_job_of_whose_key_nothing_is_left(line):
    for job_id in ("has", "first", "second"):
        line.hand.delete_place(KEY, job_id)
    line.hand.delete("locks", KEY)
    assert line.is_cured_of(K.PLACE, K.PLACE)
    assert len(line.called()) == 1
    assert line.store.lock(KEY).waiting == 1


@rows
def test_parked_job_without_place_that_does_not_say_it_has_keys_is_mended_at_once(line):
    line.hand.delete_place(KEY, "first")
    line.hand.change("jobs", "first", keyed=False)
    assert line.is_cured_of(K.PLACE, K.LOCK)
    assert steps.the_job(line.store, "first").keyed


# -- keys --------------------------------------------------------------------------------------------


@rows
@pytest.mark.parametrize(("counts", "said"), [
    ({"taken": 2}, "counts 2 who have it and 2 who wait, and has 1 who have it and 2 who wait"),
    ({"taken": 0}, "counts 0 who have it and 2 who wait, and has 1 who have it and 2 who wait"),
    ({"waiting": 0}, "counts 1 who have it and 0 who wait, and has 1 who have it and 2 who wait"),
    ({"waiting": 9}, "counts 1 who have it and 9 who wait, and has 1 who have it and 2 who wait"),
])  # fmt: skip
def test_doctor_counts_the_places_of_a_key_anew(line, counts, said):
    line.hand.change("locks", KEY, **counts)
    (fault,) = line.faults()
    assert fault.text == f"lock {KEY!r} {said}"
    assert line.is_cured_of(K.LOCK)
    lock = line.store.lock(KEY)
    assert (lock.taken, lock.waiting) == (1, 2)
    end_all(line.store, "has", "first", "second")


@rows
def test_doctor_calls_who_waits_for_a_key_that_is_free(line):
    line.hand.delete_place(KEY, "has")
    line.hand.change("locks", KEY, taken=0)
    (fault,) = line.faults()
    assert fault.text == f"lock {KEY!r} is free, and who waits for it was not called"
    assert line.is_cured_of(K.LOCK)
    assert line.called() == ["first"]


@rows
def test_doctor_calls_who_waits_behind_a_place_that_is_gone(line):
    line.hand.delete_place(KEY, "has")
    assert line.is_cured_of(K.LOCK)
    assert line.called() == ["first"]


@rows
def test_doctor_puts_who_was_wrongly_called_first_in_order(line):
    line.hand.change_place(KEY, "second", Standing.CALLED)
    assert line.is_cured_of(K.LOCK)
    lock = line.store.lock(KEY)
    assert (lock.taken, lock.waiting) == (2, 1)


@rows
def test_doctor_records_a_key_anew_at_which_somebody_stands(line):
    fence = line.store.lock(KEY).fence
    line.hand.delete("locks", KEY)
    (fault,) = line.faults()
    assert fault.text == f"lock {KEY!r} is not recorded, and somebody stands at it"
    assert line.is_cured_of(K.LOCK)
    lock = line.store.lock(KEY)
    assert (lock.taken, lock.waiting, lock.fence >= fence) == (1, 2, True)
    end_all(line.store, "has", "first", "second")


# -- how it works ------------------------------------------------------------------------------------


@rows
def test_mending_locks_that_are_well_does_nothing(line):
    before = (line.store.lock(KEY), line.store.places(KEY, 10), steps.the_job(line.store, "first"))
    for kind, subject, detail in (
        (K.LOCK, KEY, ""),
        (K.PLACE, "has", KEY),
        (K.PLACE, "first", KEY),
        (K.PLACE, "second", "another key"),
        (K.PLACE, "nobody", KEY),
    ):
        assert not line.store.mend(Fault(kind=kind, subject=subject, text="", detail=detail))
    assert (line.store.lock(KEY), line.store.places(KEY, 10), steps.the_job(line.store, "first")) == before


@rows
def test_place_of_a_job_that_came_while_its_key_was_waited_for_is_left_alone(line):
    # A job that nobody had recorded: its row could not be locked before the key's.
    assert not line.store._run(lambda rows: mending_locks.strike(rows, KEY, "has"))
    assert standings(line.store)["has"] is Standing.HOLDING


@tables
def test_doctor_looks_at_every_key_and_place_in_parts(ward, monkeypatch):
    from celery_jobtrack.strategies.sql import faults

    monkeypatch.setattr(faults, "PARTS", dict.fromkeys(faults.PARTS, 2))
    keys = [f'{letter}:key"é{letter}' for letter in "abcde"]
    for number, key in enumerate(keys):
        steps.start(ward.store, f"has-{number}", f"t-{number}", **claim(key=key))
        for waiting in range(3):
            steps.enqueue(ward.store, f"waits-{number}-{waiting}", **claim(key=key))
    for number, key in enumerate(keys):
        ward.hand.change("locks", key, taken=5)
        ward.hand.delete("jobs", f"waits-{number}-{number % 3}")
    found = ward.faults()
    assert sorted(fault.subject for fault in found if fault.kind is K.LOCK) == sorted(keys)
    assert sorted(fault.detail for fault in found if fault.kind is K.PLACE) == sorted(keys)
    assert ward.is_cured_of(*[K.LOCK] * 5, *[K.PLACE] * 5)


@tables
@pytest.mark.parametrize(
    "cursor", ["locks:", "locks:x", "places:[1, 2]", 'places:["a"]', "locks:1", "keys:0"]
)
def test_cursor_of_locks_that_is_none_is_refused(ward, cursor):
    with pytest.raises(InvalidPayload, match="is no cursor"):
        ward.store.faults(cursor)


# -- beside whatever goes on -------------------------------------------------------------------------


def _work(store: Store, done: threading.Event, number: int) -> None:
    """Jobs that take keys, wait for them and leave them, over and over."""
    turn = 0
    while not done.is_set():
        turn += 1
        job_id = f"{number}-{turn}"
        claims = (
            claim(key=f"k{turn % 3}"),
            claim(key=f"l{turn % 2}", limit=2),
            {"claims": (claim_of_latest(),)},
        )
        about = {"claims": tuple(one for of in claims[turn % 2 :] for one in of["claims"])}
        steps.enqueue(store, job_id, **about)
        if steps.start(store, job_id, f"t-{job_id}", **about).admitted:
            if turn % 3 == 0:
                steps.retry(store, job_id, f"t-{job_id}", **about)
                steps.settle(store, job_id, guards={"record_unknown": False})
            steps.finish(store, job_id, f"t-{job_id}", **about)
        for called in store.called_jobs(5):
            if store.unpark(called).applied:
                steps.settle(store, called)
        for superseded in store.superseded_jobs(5):
            steps.settle(store, superseded, JobState.SKIPPED, Reason.OVERLAP)
        if turn % 5 == 0:
            store.prune_locks(store.now() + timedelta(hours=1), 5)
            for state in (JobState.SUCCESS, JobState.REVOKED, JobState.SKIPPED):
                store.prune_jobs(state, store.now(), 20)


@rows
def test_doctor_raises_no_false_alarm_of_locks_while_others_work(backend, clock):
    done = threading.Event()
    with backend.fresh(clock) as store, ThreadPoolExecutor(3) as pool:
        store.register_worker(steps.WORKER, 1e6)
        doctor = Doctor(Tracker(store, RememberingPorts()), Settings(), pause=0.0)
        workers = [pool.submit(_work, store, done, number) for number in range(3)]
        looks = 0
        try:
            until = time.monotonic() + 3.0
            while time.monotonic() < until or looks < 10:
                assert list(every_fault(store)) == []
                assert mended_at_random(store, looks) == []
                looks += 1
                assert not any(worker.done() for worker in workers), [w.exception() for w in workers]
        finally:
            done.set()
        for worker in workers:
            worker.result(30)
        assert doctor.examine().findings == ()


def mended_at_random(store: Store, turn: int) -> list[Fault]:
    """What was mended of places and keys that are well, and are just being used."""
    keys = [f"k{turn % 3}", f"l{turn % 2}", "latest"]
    places = [place for key in keys for place in store.places(key, 3)]
    faults = [Fault(kind=K.LOCK, subject=key, text="") for key in keys]
    faults += [Fault(kind=K.PLACE, subject=place.job_id, text="", detail=place.key) for place in places]
    return [fault for fault in faults if store.mend(fault)]


def every_fault(store: Store) -> Iterator[Fault]:
    """What one look finds, without another one at what looks wrong."""
    cursor = None
    while True:
        page = store.faults(cursor)
        yield from page.faults
        cursor = page.cursor
        if cursor is None:
            return
