"""Keys in Redis that time moves: what lies there, and what the doctor makes of it."""

from __future__ import annotations

from datetime import timedelta

import msgpack
import pytest

from celery_jobtrack.model.fault import FaultKind as K
from celery_jobtrack.model.lock import Claim, Kind, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.testing import steps
from celery_jobtrack.testing.keys import KEY, WAIT, claim
from tests.unit.redis_ward import ROOT, KeysWard

RATE = claim(key="rate", kind=Kind.RATE, interval=10.0)
QUEUE = claim(key="queue", kind=Kind.QUEUE, until_start=True)
LEASED = claim(key="leased", lease=60)


@pytest.fixture
def ward(redis_store, redis_client):
    return KeysWard(redis_store, redis_client)


@pytest.fixture
def timed(ward, redis_clock):
    """At each key somebody waits until it is due."""
    store = ward.store
    steps.start(store, "started", "t1", **RATE)
    steps.enqueue(store, "rated", **RATE)
    steps.enqueue(store, "sent", **QUEUE)
    steps.enqueue(store, "queued", **QUEUE)
    steps.start(store, "leases", "t2", **LEASED)
    steps.enqueue(store, "waits", **LEASED)
    at = store.now() + timedelta(seconds=100)
    steps.enqueue(store, "later", **claim(key="clock", kind=Kind.CLOCK, at=at, until_start=True))
    assert ward.faults() == []
    return ward


# -- what lies in the keys ----------------------------------------------------------------------------------


def test_key_of_slots_is_kept_as_before_there_were_kinds(ward):
    steps.start(ward.store, "a", "ta", **WAIT)
    limit, fence, rejected, _ = msgpack.unpackb(ward.client.get(ward.key(f":lk:{KEY}")))
    lock = ward.store.lock(KEY)
    assert (lock.limit, lock.fence, lock.rejected, lock.kind) == (limit, fence, rejected, Kind.SLOTS)
    assert set(ward.client.keys(f"{ROOT}:l[a-z]*")) == {
        ward.key(name).encode() for name in (f":lk:{KEY}", f":lh:{KEY}", ":ln")
    }


def test_place_of_a_key_without_fences_is_held(ward):
    steps.enqueue(ward.store, "a", **claim(key="k", kind=Kind.UNIQUE, lease=60))
    (place,) = ward.store.places("k", 10)
    assert (place.standing, place.fence) == (Standing.HOLDING, None)
    assert 59 < (place.until - ward.store.now()).total_seconds() <= 60
    assert steps.start(ward.store, "a", "ta").fences == ()
    assert steps.start(ward.store, "a", "ta").fences == ()


def test_interval_is_kept_to_the_microsecond(ward):
    steps.start(ward.store, "a", "ta", **claim(key="k", kind=Kind.RATE, interval=60 / 7))
    lock = ward.store.lock("k")
    assert lock.interval == pytest.approx(60 / 7, abs=1e-6)
    assert lock.next_at - lock.touched_at == timedelta(seconds=60 / 7)


def test_nothing_of_time_is_left_when_all_have_gone(timed, redis_clock):
    for job_id in ("rated", "sent", "queued", "waits", "later"):
        timed.store.request_cancel(job_id)
    for token, job_id in (("t1", "started"), ("t2", "leases")):
        steps.finish(timed.store, job_id, token)
    for called in timed.store.called_jobs(10):
        timed.store.request_cancel(called)
    assert not timed.client.keys(f"{ROOT}:l[dhuw]*")
    redis_clock.advance(1000)
    assert timed.store.prune_locks(timed.store.now() - timedelta(seconds=1), 10) == 4
    assert not timed.client.keys(f"{ROOT}:l?*")


def test_lease_of_an_attempt_without_one_does_not_run_out(ward, redis_clock):
    both = {"claims": (Claim(key="k", lease=60),)}
    steps.start(ward.store, "a", "ta", **both)
    steps.retry(ward.store, "a", "ta", 1, **both)
    assert steps.start(ward.store, "a", "ta2", retries=1, **claim(key="k")).admitted
    redis_clock.advance(100)
    assert steps.start(ward.store, "b", "tb", **claim(key="k")).refusal is Refusal.PARKED
    assert ward.faults() == []


# -- the doctor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rate", "queue", "leased", "clock"])
@pytest.mark.parametrize("hand", ["missing", "late"])
def test_doctor_mends_when_a_key_is_due(timed, key, hand):
    before = timed.store.lock(key).due_at
    if hand == "missing":
        assert timed.client.zrem(timed.key(":ld"), key) == 1
    else:
        timed.client.zincrby(timed.key(":ld"), 3_600_000_000, key)
    assert set(timed.kinds()) == {K.INDEX}
    timed.doctor.examine(repair=True)
    assert timed.faults() == []
    assert timed.store.lock(key).due_at == before


@pytest.mark.parametrize("index", [":ld", ":lu:leased"])
def test_doctor_removes_what_is_not_due(timed, index):
    timed.client.zadd(timed.key(index), {"nobody": 2**52})
    assert timed.is_cured_of(K.INDEX)


@pytest.mark.parametrize(("key", "job_id"), [("leased", "leases"), ("queue", "sent")])
def test_doctor_files_anew_when_a_place_runs_out(timed, key, job_id):
    before = timed.client.zscore(timed.key(f":lu:{key}"), job_id)
    assert timed.client.zrem(timed.key(f":lu:{key}"), job_id) == 1
    assert set(timed.kinds()) == {K.INDEX}
    timed.doctor.examine(repair=True)
    assert timed.faults() == []
    assert timed.client.zscore(timed.key(f":lu:{key}"), job_id) == before


def test_doctor_lets_a_call_run_out(timed, redis_clock):
    redis_clock.advance(10)
    assert tuple(timed.store.call_due("rate")) == ("rated",)
    assert timed.client.zrem(timed.key(":lu:rate"), "rated") == 1
    assert set(timed.kinds()) == {K.INDEX}
    timed.doctor.examine(repair=True)
    assert timed.faults() == []


@pytest.mark.parametrize("key", ["rate", "queue", "leased", "clock"])
def test_doctor_puts_who_waits_back_into_the_line(timed, key):
    line = timed.client.zrange(timed.key(f":lw:{key}"), 0, -1, withscores=True)
    timed.delete(f":lw:{key}")
    timed.doctor.examine(repair=True)
    assert timed.faults() == []
    assert timed.client.zrange(timed.key(f":lw:{key}"), 0, -1, withscores=True) == line
    assert timed.store.lock(key).due_at is not None


def test_line_whose_jobs_were_dropped_is_due_no_more(timed, redis_clock):
    timed.delete(":j:rated")
    redis_clock.advance(20)
    assert tuple(timed.store.call_due("rate")) == ()
    assert "rate" not in {key for key, _ in timed.store.due_keys(timed.store.now(), 10)}
