"""Each fault: made by hand, found, mended, and gone; and a store that is well is found well."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, update

from celery_jobtrack.config import Settings
from celery_jobtrack.model.fault import FaultKind
from celery_jobtrack.model.group import GROUP_TASK, Totals
from celery_jobtrack.model.requests import EnqueueRequest, Origin
from celery_jobtrack.model.state import EventKind, GroupState, JobState, Outcome, Reason
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.doctor import Doctor
from celery_jobtrack.tracking.tracker import Tracker
from tests.contract.backends import ROW_NAMES
from tests.contract.damage import MemoryHand, SqlHand
from tests.contract.ward import Ward, members
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing import Clock
    from tests.contract.backends import Backend

K = FaultKind
SQL = [name for name in ROW_NAMES if not name.startswith("memory")]


class HandledWard(Ward):
    """One with a hand in its store."""

    def __init__(self, store: Store, hand: Any) -> None:
        super().__init__(store)
        self.hand = hand


@pytest.fixture
def ward(backend: Backend, clock: Clock) -> Iterator[HandledWard]:
    with backend.fresh(clock) as store:
        yield HandledWard(store, MemoryHand(store) if backend.name.startswith("memory") else SqlHand(store))


@pytest.fixture
def clock() -> Clock:
    from celery_jobtrack.testing import Clock

    return Clock()


rows = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)
tables = pytest.mark.parametrize("backend", SQL, indirect=True)


def deliver_all(ward: HandledWard, clock: Clock) -> None:
    steps.all_events(ward.store, clock)


# -- what is well ------------------------------------------------------------------------------------


@rows
def test_doctor_finds_nothing_where_everything_was_done_by_transitions(ward, clock):
    members(ward, ended=3, queued=2, group_id="standing")
    members(ward, ended=3, queued=0, group_id="over")
    steps.batch(ward.store, "open")
    steps.group(ward.store, "empty")
    steps.group(ward.store, "idle", settle_after=10)
    steps.enqueue(ward.store, "i", group_id="idle")
    steps.run(ward.store, "i", group_id="idle")
    steps.group(ward.store, "held")
    ward.store.begin_filling("held", "token", 30)
    steps.group(ward.store, "cancelled")
    steps.enqueue(ward.store, "c", group_id="cancelled")
    ward.store.cancel_group("cancelled")
    steps.enqueue(ward.store, "tagged", tags=("red", "blue"), eta=ward.store.now() + timedelta(hours=1))
    steps.enqueue(ward.store, "running")
    steps.start(ward.store, "running", "r1")
    steps.enqueue(ward.store, "failed")
    steps.run(ward.store, "failed", Outcome.FAILURE)
    steps.enqueue(ward.store, "retried")
    steps.start(ward.store, "retried", "x1")
    steps.retry(ward.store, "retried", "x1")
    diagnosis = ward.doctor.examine()
    assert diagnosis.findings == ()
    assert diagnosis.is_well
    assert diagnosis.examined > 0


@rows
def test_doctor_looks_at_every_part(ward, monkeypatch):
    from celery_jobtrack.strategies.sql import faults

    monkeypatch.setattr(faults, "PARTS", dict.fromkeys(faults.PARTS, 2))
    for number in range(5):
        members(ward, ended=1, queued=1, group_id=f"g{number}")
    for number in range(5):
        ward.hand.change_totals(f"g{number}", total=7)
        ward.hand.change("jobs", f"g{number}-1", state=JobState.STARTED)
    kinds = ward.kinds()
    assert kinds.count(K.COUNTERS) == 5
    assert kinds.count(K.ATTEMPT_MISSING) == 5


# -- groups ------------------------------------------------------------------------------------------


@rows
def test_doctor_mends_counters(ward):
    members(ward)
    ward.hand.change_totals("g", total=9, failed=1)
    (fault,) = ward.faults()
    assert "counts 9 members (2 succeeded, 1 failed), and has 3 members (2 succeeded)" in fault.text
    assert ward.is_cured_of(K.COUNTERS)
    assert steps.the_group(ward.store).totals == Totals(total=3, succeeded=2)


@tables
def test_doctor_mends_what_is_kept_of_pauses(ward):
    members(ward)
    steps.start(ward.store, "g-2", "t", group_id="g")
    steps.retry(ward.store, "g-2", "t", group_id="g")
    ward.hand.do(update(ward.store._schema.pauses).values(retrying=0, waiting=2))
    (fault,) = ward.faults()
    wrong = "counts 0 that wait for a retry and 2 that are parked"
    assert f"{wrong}, and has 1 that wait for a retry and 0 that are parked" in fault.text
    assert ward.is_cured_of(K.COUNTERS)
    assert ward.store.group_status("g").retrying == 1


@tables
def test_doctor_deletes_what_is_kept_of_pauses_of_a_group_that_is_gone(ward):
    members(ward, ended=0)
    ward.hand.hold("g", "token", ward.store.now() + timedelta(days=1))
    steps.start(ward.store, "g-0", "t", group_id="g")
    steps.retry(ward.store, "g-0", "t", group_id="g")
    ward.hand.delete_events("g", EventKind.STARTED)
    ward.hand.delete("groups", "g")
    assert ward.is_cured_of(K.NO_GROUP, K.ORPHAN, K.ORPHAN)


@rows
def test_doctor_completes_a_group_whose_last_member_was_deleted(ward):
    members(ward)
    ward.hand.delete("jobs", "g-2")
    assert ward.is_cured_of(K.COUNTERS)
    assert steps.the_group(ward.store).state is GroupState.COMPLETED


@rows
def test_doctor_puts_a_group_in_line_for_its_next_check(ward):
    members(ward)
    ward.hand.change("groups", "g", next_check_at=None)
    assert ward.is_cured_of(K.UNCHECKED)
    assert steps.the_group(ward.store).next_check_at is not None


@rows
def test_doctor_completes_a_group_that_nothing_holds_open(ward):
    members(ward, ended=2, queued=0, standing=False)
    ward.hand.change("groups", "g", sealed=True)
    assert ward.is_cured_of(K.UNFINISHED)
    assert steps.the_group(ward.store).is_over


@rows
@pytest.mark.parametrize("kind", [EventKind.STARTED, EventKind.COMPLETED])
def test_doctor_announces_what_was_not(ward, clock, kind):
    members(ward, queued=0)
    deliver_all(ward, clock)
    ward.hand.delete_events("g", kind)
    assert ward.is_cured_of(K.UNANNOUNCED)
    assert [event.kind for event in steps.all_events(ward.store, clock)] == [kind]


@rows
def test_doctor_completes_a_group_that_said_that_it_had(ward):
    members(ward, queued=0)
    ward.hand.change("groups", "g", completed_at=None, state=GroupState.RUNNING)
    assert ward.is_cured_of(K.ANNOUNCED)
    assert steps.the_group(ward.store).state is GroupState.COMPLETED


@rows
def test_doctor_begins_the_next_generation_of_a_group_that_is_not_done_though_it_said_so(ward, clock):
    members(ward, queued=0)
    ward.hand.change("groups", "g", completed_at=None, state=GroupState.RUNNING)
    ward.hand.queue(steps.the_job(ward.store, "g-1"))
    ward.hand.change_totals("g", succeeded=1)
    assert ward.is_cured_of(K.ANNOUNCED)
    steps.start(ward.store, "g-1", "t-again", group_id="g")
    steps.finish(ward.store, "g-1", "t-again", group_id="g")
    kinds = [(event.kind, event.generation) for event in steps.all_events(ward.store, clock)]
    assert kinds[-2:] == [(EventKind.STARTED, 2), (EventKind.COMPLETED, 2)]


@rows
def test_doctor_lets_go_for_a_filler_that_is_gone(ward, clock):
    members(ward, queued=0, standing=False)
    ward.store.begin_filling("g", "gone", 30)
    ward.hand.change("groups", "g", sealed=True)
    clock.advance(85)
    assert ward.kinds() == [], "who is late by less than a minute may be slow"
    clock.advance(10)
    assert ward.is_cured_of(K.FILLER)
    assert steps.the_group(ward.store).is_over


@rows
def test_doctor_deletes_the_hold_on_a_group_that_is_gone(ward):
    ward.hand.hold("nowhere", "token", ward.store.now())
    assert ward.is_cured_of(K.ORPHAN)


# -- jobs and attempts -------------------------------------------------------------------------------


@rows
@pytest.mark.parametrize(
    ("closed_as", "state", "reason"),
    [
        (None, JobState.FAILURE, Reason.WORKER_LOST),
        (Outcome.SUCCESS, JobState.SUCCESS, None),
        (Outcome.FAILURE, JobState.FAILURE, Reason.ERROR),
        (Outcome.RETRY, JobState.FAILURE, Reason.WORKER_LOST),
    ],
)
def test_doctor_ends_a_job_without_its_attempt_as_that_ended(ward, closed_as, state, reason):
    steps.group(ward.store)
    steps.enqueue(ward.store, group_id="g")
    steps.start(ward.store, group_id="g")
    if closed_as is None:
        ward.hand.delete("attempts", "t1")
    else:
        ward.hand.change("attempts", "t1", outcome=closed_as)
    assert ward.is_cured_of(K.ATTEMPT_MISSING)
    job = steps.the_job(ward.store)
    assert (job.state, job.reason, job.token) == (state, reason, None)
    assert steps.the_group(ward.store).is_over


@rows
def test_doctor_ends_a_job_that_is_started_and_names_no_attempt(ward):
    steps.enqueue(ward.store)
    steps.start(ward.store)
    steps.finish(ward.store, outcome=Outcome.FAILURE)
    ward.hand.change("jobs", "job", state=JobState.STARTED, finished_at=None, reason=None)
    assert ward.is_cured_of(K.ATTEMPT_MISSING)
    assert steps.the_job(ward.store).reason is Reason.WORKER_LOST


@rows
@pytest.mark.parametrize("state", [JobState.ENQUEUED, JobState.SUCCESS])
@pytest.mark.parametrize("names_it", [True, False])
def test_doctor_closes_an_attempt_of_a_job_that_does_not_run(ward, state, names_it):
    steps.enqueue(ward.store)
    steps.start(ward.store)
    if state is JobState.ENQUEUED:
        ward.hand.queue(steps.the_job(ward.store))
    ward.hand.change("jobs", "job", state=state, token="t1" if names_it else None)
    assert ward.is_cured_of(K.ATTEMPT_OPEN)
    assert steps.the_job(ward.store).token is None
    assert ward.store.attempts("job")[0].outcome is Outcome.LOST


@rows
def test_doctor_frees_a_queued_job_from_an_attempt_that_is_gone(ward):
    steps.enqueue(ward.store)
    ward.hand.change("jobs", "job", token="nobody's")
    assert ward.is_cured_of(K.ATTEMPT_OPEN)
    assert steps.start(ward.store).admitted


@rows
def test_doctor_closes_what_a_worker_left_that_is_long_gone(ward, clock):
    ward.store.register_worker(steps.OTHER_WORKER, 45)
    steps.enqueue(ward.store)
    steps.start(ward.store, worker=steps.OTHER_WORKER)
    clock.advance(100)
    assert ward.kinds() == []
    clock.advance(100)
    assert ward.is_cured_of(K.ATTEMPT_LOST)
    assert steps.the_job(ward.store).reason is Reason.WORKER_LOST


@rows
def test_doctor_deletes_attempts_without_job(ward):
    steps.enqueue(ward.store)
    steps.start(ward.store)
    ward.hand.delete("jobs", "job")
    assert ward.is_cured_of(K.ORPHAN)
    assert not ward.store.attempts("job")


@rows
def test_doctor_takes_a_job_out_of_a_group_that_is_gone(ward, clock):
    members(ward, ended=1, queued=0)
    deliver_all(ward, clock)
    for kind in (EventKind.STARTED, EventKind.COMPLETED):
        ward.hand.delete_events("g", kind)
    ward.hand.delete("groups", "g")
    assert ward.is_cured_of(K.NO_GROUP)
    assert steps.the_job(ward.store, "g-0").generation is None


@tables
@pytest.mark.parametrize("values", [{"due_at": None}, {"expiring_at": None}, {"priority": 3, "queue": "q"}])
def test_doctor_derives_the_columns_of_a_job_anew(ward, values):
    steps.enqueue(ward.store, expires_at=ward.store.now() + timedelta(hours=1))
    ward.hand.change("jobs", "job", **values)
    if "queue" in values:
        assert ward.kinds() == [], "nothing tells that this was not so from the beginning"
        return
    assert ward.is_cured_of(K.INDEX)


@tables
def test_doctor_takes_an_ended_job_out_of_what_is_due(ward):
    steps.enqueue(ward.store)
    steps.run(ward.store, "job")
    ward.hand.change("jobs", "job", due_at=ward.store.now() - timedelta(hours=1))
    assert list(ward.store.overdue_queues(ward.store.now())) == ["celery"]
    assert ward.is_cured_of(K.INDEX)
    assert not ward.store.overdue_queues(ward.store.now())


@tables
def test_doctor_files_a_job_under_its_tags(ward):
    steps.enqueue(ward.store, tags=("red", "blue"))
    tags = ward.hand._schema.tags
    ward.hand.do(delete(tags).where(tags.c.tag == "red"))
    assert ward.is_cured_of(K.INDEX)


@tables
def test_doctor_deletes_entries_of_tags_without_job(ward):
    steps.enqueue(ward.store, tags=("red", "blue"))
    ward.hand.delete("jobs", "job")
    assert ward.is_cured_of(K.ORPHAN, K.ORPHAN)
    with ward.store._engine.connect() as connection:
        assert connection.execute(select(ward.hand._schema.tags)).all() == []


@tables
def test_doctor_derives_what_statements_know_of_callbacks_anew(ward):
    steps.group(ward.store)
    ward.hand.change("groups", "g", progress_every=5)
    assert ward.is_cured_of(K.INDEX)


# -- events ------------------------------------------------------------------------------------------


@tables
def test_doctor_puts_an_event_where_it_is_found(ward, clock):
    members(ward)
    clock.advance(61)
    (event,) = ward.store.claim_events("nobody")
    ward.hand.change("events", event.id, pending=None)
    clock.advance(61)
    assert not ward.store.has_due_events()
    assert ward.is_cured_of(K.INDEX)
    assert ward.store.has_due_events()


@rows
def test_doctor_has_an_event_delivered_that_nobody_delivers(ward, clock):
    ward.store.delivers = lambda: False
    members(ward)
    clock.advance(299)
    assert ward.kinds() == []
    clock.advance(2)
    assert ward.is_cured_of(K.UNDELIVERED)


@rows
def test_doctor_asks_a_worker_to_deliver_where_it_may_not_itself(ward, clock):
    ward.ports.delivers = False
    members(ward)
    clock.advance(301)
    (finding,) = ward.repair().findings
    assert (finding.repaired, finding.outcome) == (True, "a worker was asked to deliver it")
    assert ward.ports.requested == 1


@rows
def test_doctor_has_an_event_delivered_once_more_that_was_given_up(ward, clock):
    members(ward)
    clock.advance(61)
    (event,) = ward.store.claim_events("me")
    ward.store.postpone_event(event.id, "ValueError: no", seconds=None)
    (fault,) = ward.faults()
    assert fault.text.endswith("was given up after 1 tries: ValueError: no")
    assert ward.is_cured_of(K.GIVEN_UP)
    assert [event.id for event in steps.all_events(ward.store, clock)] == [event.id]


@rows
def test_doctor_deletes_events_of_a_group_that_is_gone(ward, clock):
    members(ward, ended=1, queued=0)
    deliver_all(ward, clock)
    ward.hand.delete("groups", "g")
    ward.hand.delete("jobs", "g-0")
    ward.hand.delete("attempts", "t-g-0")
    assert ward.is_cured_of(K.ORPHAN, K.ORPHAN)


# -- groups in groups --------------------------------------------------------------------------------


def family(ward: HandledWard) -> None:
    steps.group(ward.store, "parent")
    steps.group(ward.store, "child", parent_id="parent")
    origin = Origin(job_id="child", task=GROUP_TASK, group_id="parent")
    ward.store.enqueue(EnqueueRequest(origin=origin, published=False))


@rows
def test_doctor_finds_nothing_wrong_with_a_child_group(ward, clock):
    family(ward)
    clock.advance(1000)
    assert ward.kinds() == []


@rows
def test_doctor_makes_the_member_that_stands_for_a_child(ward, clock):
    family(ward)
    ward.hand.delete("jobs", "child")
    ward.store.recompute_group("parent")
    clock.advance(30)
    assert ward.kinds() == [], "its parent may just be about to be told"
    clock.advance(31)
    assert ward.is_cured_of(K.NO_MEMBER)
    assert steps.the_group(ward.store, "parent").outstanding == 1


@rows
def test_doctor_ends_a_member_whose_group_is_gone(ward, clock):
    family(ward)
    ward.hand.delete("groups", "child")
    clock.advance(61)
    assert ward.is_cured_of(K.NO_CHILD)
    assert steps.the_group(ward.store, "parent").totals.failed == 1


@rows
def test_doctor_tells_a_parent_that_its_child_is_over(ward, clock):
    family(ward)
    steps.enqueue(ward.store, "inner", group_id="child")
    steps.run(ward.store, "inner", group_id="child")
    ward.store.close_group("child")
    clock.advance(61)
    assert ward.is_cured_of(K.UNTOLD)
    assert steps.the_group(ward.store, "parent").totals.succeeded == 1


# -- messages ----------------------------------------------------------------------------------------


@rows
def test_doctor_publishes_a_message_that_is_gone(ward, clock):
    steps.enqueue(ward.store)
    ward.ports.empty = True
    clock.advance(29)
    assert ward.kinds() == []
    clock.advance(2)
    assert ward.is_cured_of(K.MESSAGE_LOST)
    assert ward.ports.published == ["job"]


@rows
@pytest.mark.parametrize("why", ["held", "not empty", "unknown", "spooled"])
def test_doctor_does_not_call_a_message_lost_that_may_be_there(ward, clock, why):
    steps.enqueue(ward.store)
    ward.ports.empty = {"not empty": False, "unknown": None}.get(why, True)
    ward.ports.held = frozenset({"job"} if why == "held" else ())
    ward.ports.spooled = 1 if why == "spooled" else 0
    clock.advance(1000)
    assert ward.kinds() == []


@rows
def test_doctor_says_when_the_broker_cannot_be_asked(ward, clock, monkeypatch):
    steps.enqueue(ward.store)
    clock.advance(31)

    def away(queue):
        raise OSError("no broker")

    monkeypatch.setattr(ward.ports, "queue_is_empty", away)
    diagnosis = ward.doctor.examine()
    assert (diagnosis.findings, diagnosis.broker_error) == ((), "OSError: no broker")


@rows
def test_doctor_says_when_a_message_was_not_kept(ward, clock):
    steps.enqueue(ward.store, message=None)
    ward.ports.empty = True
    clock.advance(31)
    diagnosis = ward.repair()
    (finding,) = diagnosis.findings
    assert "jobtrack_keep_message" in finding.outcome
    assert not diagnosis.is_well


# -- how it works ------------------------------------------------------------------------------------


@rows
def test_doctor_looks_again_before_it_says_that_something_is_wrong(ward, monkeypatch):
    members(ward)
    ward.hand.change_totals("g", total=9)
    look, looks = ward.store.faults, []

    def faults(cursor=None):
        page = look(cursor)
        looks.append(page.faults)
        if page.faults and len([faults for faults in looks if faults]) == 1:
            ward.store.recompute_group("g")  # somebody else was faster
        return page

    monkeypatch.setattr(ward.store, "faults", faults)
    assert ward.kinds() == []
    assert [fault.kind for faults in looks for fault in faults] == [K.COUNTERS]


@rows
def test_doctor_leaves_a_line_in_the_log_for_each_repair(ward, caplog):
    members(ward)
    ward.hand.change_totals("g", total=9)
    ward.repair()
    (record,) = [record for record in caplog.records if record.name == "celery_jobtrack.doctor"]
    assert record.levelname == "WARNING"
    assert record.message == (
        "repaired: group 'g' (g) counts 9 members (2 succeeded), and has 3 members (2 succeeded): "
        "its members were counted anew"
    )


@rows
def test_doctor_goes_on_when_one_repair_fails(ward, monkeypatch, caplog):
    members(ward, group_id="g1")
    members(ward, group_id="g2")
    for group_id in ("g1", "g2"):
        ward.hand.change_totals(group_id, total=9)
    recompute = ward.store.recompute_group

    def recompute_group(group_id):
        if group_id == "g1":
            raise ValueError("no")
        return recompute(group_id)

    monkeypatch.setattr(ward.store, "recompute_group", recompute_group)
    diagnosis = ward.repair()
    assert sorted((f.fault.subject, f.repaired) for f in diagnosis.findings) == [("g1", False), ("g2", True)]
    assert not diagnosis.is_well


@rows
def test_mending_what_is_well_does_nothing(ward):
    members(ward)
    ward.hand.change("groups", "g", next_check_at=None)
    steps.enqueue(ward.store)
    steps.start(ward.store)
    from celery_jobtrack.model.fault import Fault

    job, group = steps.the_job(ward.store), steps.the_group(ward.store)
    for kind, subject, detail in (
        (K.ATTEMPT_OPEN, "job", "t1"),
        (K.UNANNOUNCED, "g", "job_group_started"),
        (K.ANNOUNCED, "g", ""),
        (K.NO_GROUP, "g-0", ""),
        (K.GIVEN_UP, "no event", ""),
        (K.ORPHAN, "no attempt", "attempts"),
    ):
        assert not ward.store.mend(Fault(kind=kind, subject=subject, text="", detail=detail))
    assert (steps.the_job(ward.store), steps.the_group(ward.store)) == (job, group)


# -- beside whatever goes on -------------------------------------------------------------------------


def _work(store: Store, done: threading.Event, number: int) -> None:
    """Everything that a store is asked to do, over and over."""
    turn = 0
    while not done.is_set():
        turn += 1
        name = f"{number}-{turn}"
        steps.batch(store, f"batch-{name}")
        store.begin_filling(f"batch-{name}", "filler", 30)
        for group_id in (f"batch-{name}", "standing"):
            job_id = f"{group_id}-{name}"
            steps.enqueue(store, job_id, group_id=group_id, tags=("red", "blue"))
            steps.start(store, job_id, f"a-{job_id}", group_id=group_id)
            if turn % 3 == 0:
                steps.retry(store, job_id, f"a-{job_id}", group_id=group_id, tags=("red", "blue"))
                steps.start(store, job_id, f"b-{job_id}", group_id=group_id, retries=1)
                steps.finish(store, job_id, f"b-{job_id}", group_id=group_id, retries=1)
            else:
                outcome = (Outcome.SUCCESS, Outcome.FAILURE)[turn % 2]
                steps.finish(store, job_id, f"a-{job_id}", outcome, group_id=group_id)
        steps.enqueue(store, f"queued-{name}", group_id=f"batch-{name}")
        store.seal_group(f"batch-{name}")
        store.end_filling(f"batch-{name}", "filler")
        if turn % 2:
            store.cancel_group(f"batch-{name}")
            store.request_cancel(f"queued-{name}")
        for event in store.claim_events("me", limit=5):
            store.acknowledge_event(event.id, "me")
        if turn % 5 == 0:
            store.prune_jobs(JobState.SUCCESS, store.now(), 20)
            store.prune_jobs(JobState.REVOKED, store.now(), 20)
            store.prune_groups(store.now(), 20)


def test_doctor_raises_no_false_alarm_while_others_work(backend, clock):
    done = threading.Event()
    with backend.fresh(clock) as store, ThreadPoolExecutor(3) as pool:
        store.register_worker(steps.WORKER, 1e6)
        steps.group(store, "standing")
        steps.enqueue(store, "first", group_id="standing")
        doctor = Doctor(Tracker(store, RememberingPorts()), Settings(), pause=0.0)
        workers = [pool.submit(_work, store, done, number) for number in range(3)]
        try:
            examined = 0
            until = time.monotonic() + 4.0
            while time.monotonic() < until or examined < 500:
                diagnosis = doctor.examine()
                assert diagnosis.findings == ()
                examined += diagnosis.examined
                assert not any(worker.done() for worker in workers), [
                    worker.exception() for worker in workers
                ]
        finally:
            done.set()
        for worker in workers:
            worker.result(30)
        assert doctor.examine().findings == ()
