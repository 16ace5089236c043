"""Rates, deadlines and jobs that are due much later: what a dispatch makes of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from celery_jobtrack import JobState, Limit, Reason
from celery_jobtrack.errors import ConfigurationError, InvalidPayload
from celery_jobtrack.integration.claims import claims_of
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from tests.unit.apps import SmallApp


def _add(x, y=0):
    return x + y


def _for_customer(customer):
    return customer


def _one():
    return 1


def now():
    return datetime.now(timezone.utc)


@pytest.fixture
def add(small):
    return small.task(name="add")(_add)


# -- rates -------------------------------------------------------------------------------------------


def rate_of(small, rate):
    task = small.task(name="limited", global_rate=rate)(_for_customer)
    (found,) = claims_of(task, task.name, ("acme",), {})
    return found


@pytest.mark.parametrize(
    ("rate", "interval", "burst"),
    [
        ("100/m", 0.6, 1),
        ("120/m", 0.5, 1),
        ("100/s", 0.01, 10),
        ("1000/h", 3.6, 1),
        ("24/d", 3600.0, 1),
        ("0.5/s", 2.0, 1),
        (Limit("100/s", burst=1), 0.01, 1),
    ],
)
def test_rate_is_an_interval_and_a_burst(small, rate, interval, burst):
    found = rate_of(small, rate)
    assert (found.kind, found.limit, found.on_conflict) == (Kind.RATE, burst, OnConflict.WAIT)
    assert found.interval == pytest.approx(interval)
    assert found.key == "starts:limited"


def test_key_of_a_rate_is_made_of_arguments(small):
    assert rate_of(small, Limit("1/s", key="{customer}")).key == "starts:limited:acme"


@pytest.mark.parametrize("count", ["", "100", "100/x", "0/m", "-1/m", "m/100", "1e3/s"])
def test_what_is_no_rate_is_refused(count):
    with pytest.raises(ValueError, match="a limit is a whole number from 1, or a rate as"):
        Limit(count)


@pytest.mark.parametrize(("count", "burst"), [("1/s", 0), ("1/s", True), ("1/s", 1.5), (3, 2)])
def test_wrong_burst_is_refused(count, burst):
    with pytest.raises(ValueError, match="burst"):
        Limit(count, burst=burst)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"global_rate": 5}, 'global_rate is a rate, "100/m", not 5'),
        ({"global_rate": "often"}, "a limit is a whole number from 1, or a rate"),
        ({"max_concurrent": "5/s"}, "max_concurrent is how many run at a time"),
        ({"global_rate": "5/s", "keep_message": False}, "parks jobs in the store"),
        ({"global_rate": Limit("5/s", key="{nobody}")}, "names 'nobody'"),
    ],
)
def test_wrong_declaration_is_refused_when_a_worker_starts(small, declared, said):
    small.task(name="wrong", **declared)(_add)
    small.app.finalize()
    with pytest.raises(ConfigurationError, match=said):
        small.jobtrack.runtime.check_configuration()


def test_eager_jobs_keep_no_rate(eager):
    task = eager.task(name="limited", global_rate="1/d")(_one)
    assert [task.delay().get() for _ in range(3)] == [1, 1, 1]


# -- deadlines ----------------------------------------------------------------------------------------


def test_few_with_a_deadline_are_sent_and_the_others_wait(small, add):
    results = [add.job(n).deadline(timedelta(minutes=10 + n)).dispatch() for n in range(6)]
    assert small.queued() == 4
    assert [result.job().state for result in results[4:]] == [JobState.WAITING] * 2
    assert {result.job().waits_for for result in results[4:]} == {f"deadline:{small.queue}"}


def test_job_expires_at_its_deadline_unless_it_may_run_late(small, add):
    deadline = now() + timedelta(minutes=10)
    strict, late = (add.apply_async((1,), deadline=deadline, run_late=late).job() for late in (False, True))
    assert strict.expires_at == deadline
    assert late.expires_at is None
    lenient = small.task(name="lenient", run_late=True)(_one)
    assert lenient.apply_async(deadline=deadline).job().expires_at is None


def test_deadline_and_expiry_are_both_kept(small, add):
    soon, later = now() + timedelta(minutes=5), now() + timedelta(minutes=10)
    job = add.apply_async((1,), deadline=later, expires=soon).job()
    assert abs(job.expires_at - soon) < timedelta(seconds=1)


@pytest.mark.parametrize(
    "deadline",
    [timedelta(seconds=-1), datetime(2020, 1, 1, tzinfo=timezone.utc), "2020-01-01 10:00:00", 1_500_000_000],
)
def test_deadline_that_has_passed_is_refused(small, add, deadline):
    with pytest.raises(InvalidPayload, match=r"the deadline .* has passed"):
        add.apply_async((1,), deadline=deadline)
    with pytest.raises(InvalidPayload, match="has passed"):
        add.job(1).deadline(deadline)
    assert small.recorded() == []


def test_deadline_that_has_passed_is_refused_of_an_eager_job(eager):
    task = eager.task(name="add")(_add)
    with pytest.raises(InvalidPayload, match="has passed"):
        task.apply_async((1,), deadline=timedelta(seconds=-1))
    assert eager.recorded() == []


@pytest.mark.parametrize("deadline", ["tomorrow", True, [1]])
def test_what_is_no_deadline_is_refused(small, add, deadline):
    with pytest.raises(InvalidPayload, match="time"):
        add.apply_async((1,), deadline=deadline)
    assert small.recorded() == []


def test_deadline_out_of_the_calendar_is_refused(add):
    with pytest.raises(InvalidPayload, match="out of the calendar"):
        add.apply_async((1,), deadline=timedelta.max)


def test_deadline_before_the_job_is_due_is_refused_unless_it_may_run_late(small, add):
    late = {"countdown": 100, "deadline": timedelta(seconds=10)}
    with pytest.raises(InvalidPayload, match=r"after its deadline .* it would never run"):
        add.apply_async((1,), **late)
    assert small.recorded() == []
    assert add.apply_async((1,), run_late=True, **late).job().expires_at is None


def test_run_late_is_true_or_false(small, add):
    with pytest.raises(InvalidPayload, match="run_late must be True or False, not 'yes'"):
        add.apply_async((1,), deadline=timedelta(minutes=1), run_late="yes")
    assert small.recorded() == []


def test_deadline_of_a_task_whose_messages_are_not_kept_is_refused(small):
    task = small.task(name="unkept", keep_message=False)(_one)
    with pytest.raises(InvalidPayload, match="a deadline parks jobs in the store"):
        task.apply_async(deadline=timedelta(minutes=1))
    assert small.recorded() == []


def test_how_many_are_sent_ahead_is_a_setting():
    made = SmallApp(jobtrack_deadlines_ahead=1)
    try:
        task = made.task(name="add")(_one)
        for _ in range(3):
            task.apply_async(deadline=timedelta(minutes=1))
        assert made.queued() == 1
    finally:
        made.close()


@pytest.mark.parametrize("name", ["park_after", "deadlines_ahead"])
def test_zero_is_refused(name):
    made = SmallApp(**{f"jobtrack_{name}": 0})
    with pytest.raises(ConfigurationError, match=f"jobtrack_{name} = 0"):
        made.jobtrack.runtime.check_configuration()


# -- due much later -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"countdown": 3600}, {"eta": now() + timedelta(days=300)}])
def test_job_that_is_due_much_later_stays_in_the_store(small, add, how):
    job = add.apply_async((1,), **how).job()
    assert small.queued() == 0
    assert job.state is JobState.WAITING
    assert job.waits_for.startswith("clock:20")
    assert job.eta is not None


def test_job_that_is_due_soon_is_sent(small, add):
    assert add.apply_async((1,), countdown=300).job().state is JobState.ENQUEUED
    assert small.queued() == 1


def test_setting_turns_it_off():
    made = SmallApp(jobtrack_park_after=None)
    try:
        task = made.task(name="add")(_one)
        assert task.apply_async(countdown=86_400).job().state is JobState.ENQUEUED
        assert made.queued() == 1
    finally:
        made.close()


def test_job_whose_message_is_not_kept_is_sent(small):
    task = small.task(name="unkept", keep_message=False)(_one)
    assert task.apply_async(countdown=86_400).job().state is JobState.ENQUEUED
    assert small.queued() == 1


def test_parked_job_can_be_cancelled(add):
    result = add.apply_async((1,), countdown=86_400)
    result.cancel()
    job = result.job()
    assert (job.state, job.reason) == (JobState.REVOKED, Reason.CANCELLED)


def test_many_that_are_due_much_later_stay_in_the_store(small, add):
    done = small.jobtrack.dispatch_many(add.s(n).set(countdown=3600) for n in range(5))
    assert (done.sent, done.held_back) == (0, 5)
    assert small.queued() == 0


# -- on the wire --------------------------------------------------------------------------------------


def test_claims_survive_the_message():
    claims = (
        Claim(key="alike:x", kind=Kind.UNIQUE, on_conflict=OnConflict.SKIP, until_start=True, lease=3.5),
        Claim(key="overlap:x", across_retries=False, lease=60.0),
        Claim(key="starts:x", kind=Kind.RATE, limit=3, interval=0.6),
    )
    assert Header.load({KEY: Header(claims=claims).dump()}).claims == claims


def test_claim_of_an_older_message_is_of_slots():
    found = Header.load({KEY: {"v": 1, "claims": [["overlap:x", 1, "skip", True]]}})
    assert found.claims == (Claim(key="overlap:x", on_conflict=OnConflict.SKIP),)
