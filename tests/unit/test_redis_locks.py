"""Locks in Redis: what lies in the keys, what a hand takes away, and what the doctor makes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.fault import FaultKind as K
from celery_jobtrack.model.lock import Claim, OnConflict, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.testing import steps
from celery_jobtrack.testing.keys import KEY, LATEST, WAIT, assert_free, standings
from tests.unit.redis_ward import ROOT, KeysWard


@pytest.fixture
def ward(redis_store, redis_client):
    return KeysWard(redis_store, redis_client)


@pytest.fixture
def line(ward, redis_clock):
    """One has the key, two wait; one of another key was called, one superseded, and one key is free."""
    store = ward.store
    for job_id in ("has", "first", "second"):
        steps.enqueue(store, job_id, **WAIT)
    for job_id in ("has", "first", "second"):
        steps.start(store, job_id, f"t-{job_id}", **WAIT)
    latest = {"claims": (Claim(key="a:key", on_conflict=OnConflict.LATEST),)}
    steps.start(store, "x", "tx", **latest)
    for job_id in ("superseded", "newest"):
        steps.enqueue(store, job_id, **latest)
    called = {"claims": (Claim(key="called"),)}
    steps.start(store, "y", "ty", **called)
    steps.enqueue(store, "called", **called)
    steps.finish(store, "y", "ty")
    free = {"claims": (Claim(key="free"),)}
    steps.start(store, "z", "tz", **free)
    steps.finish(store, "z", "tz")
    return ward


def hand_over(store, job_id, then):
    assert steps.finish(store, job_id, f"t-{job_id}").called == (then,)
    assert store.unpark(then).applied
    assert steps.start(store, then, f"t-{then}", **WAIT).admitted


# -- what a job without claims costs --------------------------------------------------------------------


def test_job_without_claims_has_nothing_of_locks(redis_store, redis_client):
    steps.enqueue(redis_store)
    steps.run(redis_store, "job")
    assert not redis_client.keys(f"{ROOT}:l*")


@pytest.mark.parametrize("key", ["", "a:b:c", "k" * 255, "ü" * 255, "line\nof\0two", "{x}:y"])
def test_key_may_be_any_text(redis_store, key):
    claims = {"claims": (Claim(key=key),)}
    assert [found for found, _ in steps.start(redis_store, "a", "ta", **claims).fences] == [key]
    steps.enqueue(redis_store, "b", **claims)
    assert redis_store.lock(key).waiting == 1
    assert [lock.key for lock in redis_store.locks(10).items] == [key]
    assert steps.finish(redis_store, "a", "ta").called == ("b",)


@pytest.mark.parametrize("key", ["k" * 256, "\ud800"])
def test_key_that_cannot_be_kept_is_refused(redis_store, key):
    with pytest.raises(InvalidPayload):
        steps.start(redis_store, "a", "ta", claims=(Claim(key=key),))
    assert redis_store.job("a") is None


def test_overlapping_writes_nothing(redis_store, redis_client):
    first, second = Claim(key="a"), Claim(key="b", on_conflict=OnConflict.RAISE)
    steps.start(redis_store, "x", "tx", claims=(second,))
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    with pytest.raises(Exception, match="job x has the lock 'b'"):
        steps.enqueue(redis_store, "y", claims=(first, second))
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before


def test_refused_member_writes_nothing_of_its_place(redis_store, redis_client):
    steps.batch(redis_store)
    redis_store.cancel_group("g")
    steps.start(redis_store, "x", "tx", **WAIT)
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    with pytest.raises(Exception, match="was cancelled"):
        steps.enqueue(redis_store, "y", group_id="g", **WAIT)
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before


# -- the keys themselves ------------------------------------------------------------------------------------


def test_locks_are_listed_in_pages_and_what_is_gone_is_passed_over(line):
    assert [lock.key for lock in line.store.locks(10).items] == ["a:key", "called", "free", KEY]
    line.delete(":lk:called")
    page = line.store.locks(2)
    assert ([lock.key for lock in page.items], page.cursor) == (["a:key"], "called")
    rest = line.store.locks(2, page.cursor)
    assert ([lock.key for lock in rest.items], rest.cursor) == (["free", KEY], None)


def test_superseded_are_shown_behind_the_line(line):
    places = line.store.places("a:key", 10)
    assert [(place.job_id, place.standing) for place in places] == [
        ("x", Standing.HOLDING),
        ("newest", Standing.WAITING),
        ("superseded", Standing.SUPERSEDED),
    ]


def test_release_spares_who_was_called_and_is_still_in_the_line(line):
    assert tuple(line.store.release_lock("called")) == ()
    assert standings(line.store, "called") == {"called": Standing.CALLED}
    assert line.store.unpark("called").applied
    assert tuple(line.store.release_lock("called")) == ()
    assert_free(line.store, "called")
    assert steps.start(line.store, "called", "tc", claims=(Claim(key="called"),)).admitted


def test_key_that_is_taken_again_is_not_pruned(line, redis_clock):
    redis_clock.advance(100)
    steps.start(line.store, "z2", "tz2", claims=(Claim(key="free"),))
    assert line.store.prune_locks(line.store.now(), 10) == 0
    redis_clock.advance(100)
    steps.finish(line.store, "z2", "tz2")
    assert line.store.prune_locks(line.store.now() - timedelta(seconds=1), 10) == 0
    redis_clock.advance(100)
    assert line.store.prune_locks(line.store.now(), 10) == 1
    assert line.store.lock("free") is None


# -- jobs that were dropped ----------------------------------------------------------------------------------


def test_key_of_a_job_that_was_dropped_is_given_to_who_waits(line):
    line.delete(":j:has")
    steps.enqueue(line.store, "third", **WAIT)
    assert line.store.called_jobs(10) == ["called", "first"]
    assert line.store.unpark("first").applied
    assert steps.start(line.store, "first", "t-first", **WAIT).admitted


def test_waiting_job_that_was_dropped_is_passed_over(line):
    line.delete(":j:first")
    hand_over(line.store, "has", then="second")


def test_called_job_that_was_dropped_is_called_no_more(line):
    line.delete(":j:called")
    assert line.store.called_jobs(10) == []
    assert not line.client.exists(line.key(":lc"))


# -- the doctor ----------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_where_jobs_came_and_went(line):
    assert line.faults() == []
    hand_over(line.store, "has", then="first")
    assert line.faults() == []
    line.store.release_lock(KEY)
    assert line.faults() == []


@pytest.mark.parametrize("index", [f":lh:{KEY}", f":lw:{KEY}", ":lw:a:key", ":lc", ":ls", ":ln", ":lt"])
@pytest.mark.parametrize("entry", ["nobody", "y"])
def test_doctor_removes_what_does_not_belong_into_an_index(line, index, entry):
    before = {key: standings(line.store, key) for key in ("a:key", "called", KEY)}
    line.client.zadd(line.key(index), {entry: 0})
    assert line.is_cured_of(K.INDEX)
    assert {key: standings(line.store, key) for key in before} == before


@pytest.mark.parametrize(
    ("index", "entry"),
    [
        (f":lh:{KEY}", "has"), (f":lw:{KEY}", "first"), (":lc", "called"), (":ls", "superseded"),
        (":ln", "free"), (":lt", "free"),
    ],
)  # fmt: skip
def test_doctor_files_anew_what_is_missing(line, index, entry):
    assert line.client.zrem(line.key(index), entry) == 1
    assert set(line.kinds()) == {K.INDEX}
    line.doctor.examine(repair=True)
    assert line.faults() == []
    if index in {f":lw:{KEY}", ":lc", ":ln", ":lt"}:
        assert line.client.zscore(line.key(index), entry) is not None


def test_doctor_calls_who_waits_when_the_key_is_free(line):
    """A key whose holder was dropped, and to which nobody comes."""
    line.delete(":j:has")
    line.doctor.examine(repair=True)
    assert line.faults() == []
    assert line.store.called_jobs(10) == ["called", "first"]


def test_doctor_records_anew_a_key_that_was_dropped(line):
    line.delete(f":lk:{KEY}")
    assert set(line.kinds()) == {K.INDEX}
    line.doctor.examine(repair=True)
    assert line.faults() == []
    assert (line.store.lock(KEY).taken, line.store.lock(KEY).waiting) == (1, 2)
    hand_over(line.store, "has", then="first")


def test_latest_is_by_the_order_of_recording(redis_store):
    for job_id in ("x", "old", "new"):
        steps.enqueue(redis_store, job_id, **LATEST)
    steps.start(redis_store, "x", "tx", **LATEST)
    assert steps.start(redis_store, "new", "t1", **LATEST).refusal is Refusal.PARKED
    assert steps.start(redis_store, "old", "t2", **LATEST).refusal is Refusal.OVERLAP
