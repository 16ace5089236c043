"""Each fault that keys can have: made by hand, found, mended, and gone."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from celery_jobtrack.model.fault import FaultKind as K
from celery_jobtrack.model.group import GROUP_TASK, Totals
from celery_jobtrack.model.requests import EnqueueRequest, JobQuery, Origin
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason
from celery_jobtrack.strategies.redis import faults
from celery_jobtrack.strategies.redis.ids import pack_id
from celery_jobtrack.strategies.redis.index_names import called, index_name
from celery_jobtrack.strategies.redis.packing import to_microseconds
from celery_jobtrack.testing import steps
from tests.contract.ward import members
from tests.unit.redis_ward import ROOT, KeysWard


@pytest.fixture
def ward(redis_store, redis_client):
    return KeysWard(redis_store, redis_client)


@pytest.fixture
def busy(ward, redis_clock):
    """A store with something of everything."""
    store = ward.store
    members(ward, ended=3, queued=2, group_id="standing", key="key")
    members(ward, ended=3, queued=0, group_id="over")
    steps.batch(store, "open")
    steps.group(store, "idle", settle_after=10)
    steps.enqueue(store, "i", group_id="idle")
    steps.run(store, "i", group_id="idle")
    steps.group(store, "held")
    store.begin_filling("held", "token", 30)
    steps.group(store, "cancelled")
    steps.enqueue(store, "c", group_id="cancelled")
    store.cancel_group("cancelled")
    hour = store.now() + timedelta(hours=1)
    steps.enqueue(store, "late", tags=("red", "blue"), eta=hour, expires_at=hour, queue="other:queue")
    steps.enqueue(store, "running")
    steps.start(store, "running", "r1")
    ends = {
        Outcome.FAILURE: Reason.ERROR,
        Outcome.REVOKED: Reason.TERMINATED,
        Outcome.SKIPPED: Reason.IGNORED,
    }
    for outcome, reason in ends.items():
        steps.enqueue(store, f"{outcome}")
        steps.start(store, f"{outcome}", f"t-{outcome}")
        steps.finish(store, f"{outcome}", f"t-{outcome}", outcome, reason=reason)
    steps.enqueue(store, "retried")
    steps.start(store, "retried", "x1")
    steps.retry(store, "retried", "x1")
    steps.start(store, "retried", "x2", retries=1)
    return ward


def test_doctor_finds_nothing_where_everything_was_done_by_transitions(busy):
    diagnosis = busy.doctor.examine()
    assert diagnosis.findings == ()
    assert diagnosis.examined >= 22


@pytest.mark.parametrize("size", [1, 3])
def test_doctor_looks_at_large_indexes_in_pieces(busy, monkeypatch, size):
    monkeypatch.setattr(faults, "KEYS", size)
    monkeypatch.setattr(faults, "ENTRIES", size)
    monkeypatch.setattr(faults, "PAGES", 1)
    for number in range(600):
        steps.enqueue(busy.store, f"many{number}", group_id="standing")
    assert busy.faults() == []
    busy.client.zadd(busy.key(":s:1"), {"nobody": 5})
    busy.client.zrem(busy.key(":s:1"), "many300")
    busy.client.hset(busy.key(":k"), "wrong", "standing")
    assert busy.is_cured_of(K.INDEX, K.INDEX, K.INDEX)


# -- a record that is gone leaves its entries ---------------------------------------------------------


def test_doctor_removes_what_a_deleted_job_has_left(busy):
    busy.delete(":j:standing-3")
    found = [(fault.kind, fault.text) for fault in busy.faults()]
    # Its order, its state, its queue, its group, and its message.
    assert sorted(kind for kind, _ in found) == sorted([K.COUNTERS, K.ORPHAN, *[K.INDEX] * 4]), found
    assert busy.is_cured_of(*[kind for kind, _ in found])
    assert steps.the_group(busy.store, "standing").totals == Totals(total=4, succeeded=3)


def test_doctor_removes_what_a_deleted_job_has_left_that_succeeded(busy):
    before = busy.store.counts()[JobState.SUCCESS]
    busy.delete(":j:over-0")
    assert busy.is_cured_of(K.INDEX, K.INDEX, K.INDEX)
    assert busy.store.counts()[JobState.SUCCESS] == before - 1


def test_doctor_removes_what_a_deleted_job_has_left_that_ran(busy):
    busy.delete(":j:retried")
    assert busy.is_cured_of(K.INDEX, K.INDEX, K.INDEX, K.ORPHAN, K.ORPHAN)
    assert not busy.store.open_attempts(steps.WORKER.id, 10)[1:]


def test_doctor_removes_what_a_deleted_group_has_left(busy, redis_clock):
    steps.all_events(busy.store, redis_clock)
    busy.delete(":g:over")
    # Its texts, two entries, and three members that are counted nowhere.
    kinds = [K.ORPHAN, K.INDEX, K.INDEX, K.NO_GROUP, K.NO_GROUP, K.NO_GROUP]
    assert busy.is_cured_of(*kinds)
    assert steps.the_job(busy.store, "over-0").generation is None


# -- a record that is in no index ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "entry"),
    [
        (":t:0", "late"), (":s:1", "late"), (":d:other:queue", "late"), (":x", "late"), (":tp", "0"),
        (":s:3", "running"), (":o:worker-1", "running"), (":s:6", "FAILURE"), (":e:6:0", "FAILURE"),
        (":e:5:0", "over-1"), (":ep:5", "0"), (":m:standing:0", "standing-4"),
        (":G", "open"), (":G:1", "open"), (":gd", "held"), (":gc", "cancelled"), (":go", "over"),
    ],
)  # fmt: skip
def test_doctor_files_anew_what_is_missing_in_an_index(busy, index, entry):
    before = busy.client.zrange(busy.key(index), 0, -1, withscores=True)
    assert busy.client.zrem(busy.key(index), entry) == 1
    kinds = set(busy.kinds())
    assert K.INDEX in kinds
    busy.doctor.examine(repair=True)
    assert busy.kinds() == []
    assert busy.client.zrange(busy.key(index), 0, -1, withscores=True) == before


def test_doctor_finds_jobs_again_in_listings(busy):
    for key in busy.client.keys(f"{ROOT}:t*"):
        busy.client.delete(key)
    assert not busy.store.jobs(JobQuery(limit=1000)).items
    busy.doctor.examine(repair=True)
    assert busy.kinds() == []
    assert len(busy.store.jobs(JobQuery(limit=1000)).items) == sum(busy.store.counts().values())


@pytest.mark.parametrize(
    ("index", "entry"),
    [(":o", "worker-1"), (":q", "other:queue"), (":k", "key")],
)
def test_doctor_files_anew_what_is_missing_in_a_set(busy, index, entry):
    key = busy.key(index)
    removed = busy.client.srem(key, entry) if index == ":o" else busy.client.hdel(key, entry)
    assert removed == 1
    kinds = busy.kinds()
    assert set(kinds) == {K.INDEX}
    assert busy.is_cured_of(*kinds)


@pytest.mark.parametrize(
    "index",
    [":t:7", ":tp", ":s:1", ":s:7", ":e:5:9", ":e:6:0", ":ep:5", ":d:celery", ":d:new", ":x", ":o:worker-1",
     ":m:standing:0", ":G", ":G:2", ":gd", ":gc", ":go", ":vd"],
)  # fmt: skip
@pytest.mark.parametrize("entry", ["nobody", "over-2"])
def test_doctor_removes_what_does_not_belong_into_an_index(busy, index, entry):
    entry = "77" if index in {":tp", ":ep:5"} else entry
    if entry == "over-2" and index.startswith((":G", ":g", ":v")):
        entry = "idle" if index in {":gc", ":go"} else "nobody else"
    before = busy.store.counts()
    busy.client.zadd(busy.key(index), {entry: 5})
    kinds = set(busy.kinds())
    assert kinds - {K.COUNTERS} == {K.INDEX}
    busy.doctor.examine(repair=True)
    assert busy.kinds() == []
    assert busy.client.zscore(busy.key(index), entry) is None
    assert busy.store.counts() == before


def test_doctor_counts_successes_and_events_anew(busy):
    right = busy.store.counts(), busy.store.event_counts()
    busy.client.hset(ROOT, mapping={"succeeded": 100, "pending": 50})
    (fault,) = busy.faults()
    assert "100 jobs that succeeded are counted" in fault.text
    assert "50 events to deliver are counted" in fault.text
    assert busy.is_cured_of(K.INDEX)
    assert (busy.store.counts(), busy.store.event_counts()) == right


# -- groups --------------------------------------------------------------------------------------------


def test_doctor_mends_counters(ward):
    members(ward)
    ward.change_group("g", total=9, failed=1)
    (fault,) = ward.faults()
    assert "counts 9 members (2 succeeded, 1 failed), and has 3 members (2 succeeded)" in fault.text
    assert ward.is_cured_of(K.COUNTERS)
    assert steps.the_group(ward.store).totals == Totals(total=3, succeeded=2)


def test_doctor_mends_counters_of_members_that_have_not_ended(ward):
    members(ward)
    ward.change_group("g", started=2)
    (fault,) = ward.faults()
    assert fault.text.endswith("counts wrongly how many are started")
    assert ward.is_cured_of(K.COUNTERS)
    assert ward.store.group_status("g").started == 0


def test_doctor_puts_a_group_in_line_for_its_next_check(ward):
    members(ward)
    ward.change_group("g", next_check_at=None)
    ward.client.zrem(ward.key(":gd"), "g")
    assert ward.is_cured_of(K.UNCHECKED)
    assert steps.the_group(ward.store).next_check_at is not None


def test_doctor_completes_a_group_that_nothing_holds_open(ward):
    members(ward, queued=0, standing=False)
    ward.change_group("g", sealed=True)
    assert ward.is_cured_of(K.UNFINISHED)
    assert steps.the_group(ward.store).state is GroupState.COMPLETED


def test_doctor_lets_go_for_a_filler_that_is_gone(ward, redis_clock):
    members(ward, queued=0, standing=False)
    ward.store.begin_filling("g", "gone", 30)
    ward.change_group("g", sealed=True)
    redis_clock.advance(85)
    assert ward.kinds() == []
    redis_clock.advance(10)
    assert list(ward.store.fillers("g")) == ["gone"]
    assert ward.is_cured_of(K.FILLER)
    assert steps.the_group(ward.store).is_over


def test_doctor_says_that_the_texts_of_a_group_are_gone(ward):
    steps.group(ward.store)
    ward.delete(":c:g")
    assert ward.kinds() == [K.INDEX]
    (finding,) = ward.doctor.examine(repair=True).findings
    assert not finding.repaired
    assert "gone for good" in finding.outcome


def test_doctor_looks_after_child_groups(ward, redis_clock):
    for child in ("one", "two", "three"):
        if child == "one":
            steps.group(ward.store, "parent")
        steps.group(ward.store, child, parent_id="parent")
        origin = Origin(job_id=child, task=GROUP_TASK, group_id="parent")
        ward.store.enqueue(EnqueueRequest(origin=origin, published=False))
    redis_clock.advance(61)
    assert ward.kinds() == []
    for key in (":j:one", ":g:two", ":c:two"):
        ward.delete(key)
    for index in (":t:0", ":s:1", ":m:parent:0"):
        ward.client.zrem(ward.key(index), "one")
    for index in (":G", ":G:1", ":gd"):
        ward.client.zrem(ward.key(index), "two")
    ward.store.recompute_group("parent")
    steps.enqueue(ward.store, "inner", group_id="three")
    steps.run(ward.store, "inner", group_id="three")
    ward.store.close_group("three")
    redis_clock.advance(61)
    assert ward.is_cured_of(K.NO_MEMBER, K.NO_CHILD, K.UNTOLD)
    assert steps.the_group(ward.store, "parent").totals == Totals(total=3, succeeded=1, failed=1)


# -- jobs and attempts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (1, JobState.SUCCESS, None),
        (2, JobState.FAILURE, Reason.ERROR),
        (8, JobState.FAILURE, Reason.WORKER_LOST),
    ],
)
def test_doctor_ends_a_job_as_its_last_attempt_ended(ward, outcome, state, reason):
    steps.group(ward.store)
    steps.enqueue(ward.store, group_id="g")
    steps.start(ward.store, group_id="g")
    ward.change_attempt("job", outcome=outcome, finished_at=to_microseconds(ward.store.now()))
    ward.client.delete(ward.key(":o:worker-1"), ward.key(":o"))
    assert ward.is_cured_of(K.ATTEMPT_MISSING)
    job = steps.the_job(ward.store)
    assert (job.state, job.reason) == (state, reason)
    assert steps.the_group(ward.store).is_over


def test_doctor_closes_an_attempt_of_a_job_that_is_queued(ward):
    steps.enqueue(ward.store)
    steps.start(ward.store)
    ward.change_job("job", JobState.ENQUEUED)
    ward.client.zrem(ward.key(":s:3"), "job")
    kinds = ward.kinds()
    assert kinds.count(K.ATTEMPT_OPEN) == 1
    assert ward.is_cured_of(*kinds)
    assert steps.the_job(ward.store).token is None
    assert steps.start(ward.store, token="t2").admitted


# -- events ----------------------------------------------------------------------------------------------


def test_doctor_has_events_delivered_that_nobody_would_find(ward, redis_clock):
    members(ward, queued=0)
    ward.delete(":vd")
    redis_clock.advance(61)
    assert not ward.store.has_due_events()
    # How many are pending cannot be counted without this index.
    assert set(ward.kinds()) == {K.INDEX}
    assert ward.doctor.examine(repair=True).is_well
    assert ward.kinds() == []
    assert len(steps.all_events(ward.store, redis_clock)) == 2


def test_doctor_lists_an_event_that_its_group_does_not_list(ward, redis_clock):
    members(ward)
    (event,) = ward.client.lrange(ward.key(":ge:g"), 0, -1)
    ward.delete(":ge:g")
    assert ward.doctor.examine(repair=True).findings
    assert ward.kinds() == []
    assert [found.id for found in steps.all_events(ward.store, redis_clock)] == [event.decode()]


def test_doctor_strikes_an_event_off_that_is_gone(ward, redis_clock):
    members(ward, queued=0)
    first, second = ward.client.lrange(ward.key(":ge:g"), 0, -1)
    ward.delete(f":v:{first.decode()}")
    assert ward.is_cured_of(K.INDEX)
    assert [found.id for found in steps.all_events(ward.store, redis_clock)] == [second.decode()]
    assert ward.store.event_counts().pending == 0


def test_doctor_has_an_event_delivered_once_more_that_was_given_up(ward, redis_clock):
    members(ward)
    redis_clock.advance(61)
    (event,) = ward.store.claim_events("me")
    ward.store.postpone_event(event.id, "ValueError: no", seconds=None)
    (fault,) = ward.faults()
    assert fault.text.endswith("was given up after 1 tries: ValueError: no")
    assert ward.is_cured_of(K.GIVEN_UP)
    assert [found.id for found in steps.all_events(ward.store, redis_clock)] == [event.id]
    assert ward.store.event_counts().undeliverable == 0


def test_doctor_has_an_event_delivered_that_nobody_delivers(ward, redis_clock):
    ward.store.delivers = lambda: False
    members(ward)
    redis_clock.advance(299)
    assert ward.kinds() == []
    redis_clock.advance(2)
    assert ward.is_cured_of(K.UNDELIVERED)


def test_doctor_deletes_events_of_a_group_that_is_gone(ward):
    members(ward, ended=1, queued=0)
    for key in (":g:g", ":c:g"):
        ward.delete(key)
    diagnosis = ward.doctor.examine(repair=True)
    assert diagnosis.is_well
    assert ward.doctor.examine(repair=True).is_well
    assert ward.kinds() == []
    assert not ward.client.keys(f"{ROOT}:v*")
    assert ward.store.event_counts().pending == 0


def test_doctor_publishes_a_message_that_is_gone(ward, redis_clock):
    steps.enqueue(ward.store)
    ward.ports.empty = True
    redis_clock.advance(31)
    assert ward.is_cured_of(K.MESSAGE_LOST)
    assert ward.ports.published == ["job"]


def test_no_script_of_the_doctor_works_for_long(ward):
    for number in range(3000):
        steps.enqueue(ward.store, f"j{number}", queue=f"q{number % 3}")
    ward.client.slowlog_reset()
    # At 0 the commands inside of the scripts would be logged as well.
    ward.client.config_set("slowlog-log-slower-than", 300)
    ward.client.config_set("slowlog-max-len", 1000)
    try:
        assert ward.kinds() == []
        logged = ward.client.slowlog_get(1000)
    finally:
        ward.client.config_set("slowlog-log-slower-than", 10_000)
        ward.client.config_set("slowlog-max-len", 128)
    took = sorted(entry["duration"] for entry in logged if b"EVALSHA" in entry["command"])
    assert len(took) > 20
    # In microseconds, of the server's clock on the wall: what else the machine does may hold up a few.
    assert took[len(took) * 9 // 10] < 20_000, took


# -- what people read -----------------------------------------------------------------------------------


WORKER_ID, GROUP_ID, JOB_ID = (f"{number}f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11" for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        (b":t:0", "all jobs"),
        (b":tp", "the pages of all jobs"),
        (b":s:3", "jobs in state STARTED"),
        (b":s:99", "jobs by state (99)"),
        (b":e:5:0", "jobs that ended as SUCCESS"),
        (b":ep:6", "the pages of jobs that ended as FAILURE"),
        (b":d:other:queue", "jobs in queue 'other:queue'"),
        (b":o", "workers with open attempts"),
        (b":o:" + pack_id(WORKER_ID), f"open attempts of worker {WORKER_ID}"),
        (b":m:" + pack_id(GROUP_ID) + b":0", f"the members of group {GROUP_ID}"),
        (b":m:a:b:0", "the members of group a:b"),
        (b":G", "groups"),
        (b":G:1", "groups in state AWAITING"),
        (b":gd", "groups that are due for a check"),
        (b":vd", "groups with events to deliver"),
    ],
)
def test_index_is_called_what_it_lists(suffix, said):
    assert index_name(suffix) == said


def test_every_index_that_is_looked_at_has_a_name():
    placement = (Path(faults.__file__).parent / "lua" / "placement.lua").read_text()
    kinds = re.findall(r"^  (\w+) = function", placement, re.MULTILINE)
    kinds += re.findall(r"'(\w+)' end$", placement, re.MULTILINE)
    assert len(kinds) >= 15
    assert not [kind for kind in kinds if called(kind) == kind]


def test_doctor_names_ids_and_indexes_as_people_do(ward):
    steps.group(ward.store, GROUP_ID)
    steps.enqueue(ward.store, JOB_ID, group_id=GROUP_ID)
    packed = pack_id(GROUP_ID)
    assert ward.client.zrem(f"{ROOT}:m:".encode() + packed + b":0", pack_id(JOB_ID)) == 1
    ward.client.zadd(f"{ROOT}:m:".encode() + packed + b":0", {pack_id(WORKER_ID): 1, b"\x00\xfe": 2})
    texts = sorted(fault.text for fault in ward.faults() if fault.kind is K.INDEX)
    assert texts == [
        f"job {JOB_ID} is missing or out of place in these indexes: the members of its group",
        f"the index of the members of group {GROUP_ID} lists 00fe, which does not belong there",
        f"the index of the members of group {GROUP_ID} lists {WORKER_ID}, which does not belong there",
    ]
    assert all(text.isprintable() for text in texts)
    outcomes = {each.outcome for each in ward.repair().findings if each.fault.kind is K.INDEX}
    assert outcomes == {"the index was put right"}
