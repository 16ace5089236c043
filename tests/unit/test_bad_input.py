"""Bad input is a clear error at the earliest point; nothing is recorded, and nothing is sent."""

from __future__ import annotations

import math

import pytest
from kombu.exceptions import EncodeError

from celery_jobtrack.errors import (
    GroupCancelled,
    GroupCompleted,
    GroupNotSet,
    InvalidPayload,
    StoreUnavailable,
    UnknownGroup,
    UnknownJob,
    UnknownQueue,
)

ODD = '🎉 Robert\'); DROP TABLE jobtrack_jobs;-- "quoted" %s {x} ünï'
CONTROLS = ["line\nbreak", "nul\x00", "bell\x07", "\x1b[31mred", "lone \ud800"]


@pytest.fixture
def add(small):
    @small.task(name="add")
    def add(x, y):
        return x + y

    return add


def refused(small, error, match, call):
    queued = small.queued()  # a group that was cancelled has asked for its events to be delivered
    with pytest.raises(error, match=match):
        call()
    assert small.recorded() == []
    assert small.queued() == queued


def test_a_payload_that_cannot_be_serialised_is_refused(small, add):
    refused(small, InvalidPayload, "arguments of add cannot be sent as json", lambda: add.delay(1, object()))


def test_a_refused_payload_is_still_celerys_own_error(small, add):
    refused(small, EncodeError, "cannot be sent", lambda: add.delay(1, {1, 2} and object()))


def test_an_unknown_group_is_refused(small, add):
    refused(
        small, UnknownGroup, "'nowhere' is not recorded", lambda: add.apply_async((1, 2), job_group="nowhere")
    )


def test_a_group_that_is_none_is_refused(small, add):
    refused(small, InvalidPayload, "job_group must be a group", lambda: add.apply_async((1, 2), job_group=42))


def test_a_cancelled_group_is_refused(small, add):
    group = small.jobtrack.groups.create("over")
    group.cancel()
    refused(small, GroupCancelled, "was cancelled", lambda: add.job(1, 2).in_group(group).dispatch())


def test_a_completed_batch_is_refused(small, add):
    batch = small.jobtrack.groups.create("over", standing=False).seal()
    assert batch.is_over
    refused(small, GroupCompleted, "has completed", lambda: add.job(1, 2).in_group(batch).dispatch())


def test_a_group_that_is_missing_is_refused_naming_the_task(small):
    @small.task(name="shop.member", group_required=True)
    def member():
        return None

    refused(small, GroupNotSet, "shop.member", member.delay)
    refused(small, GroupNotSet, "shop.member", member.dispatch)
    refused(small, GroupNotSet, "shop.member", lambda: small.app.send_task("shop.member"))


@pytest.mark.parametrize("name", CONTROLS)
def test_names_with_control_characters_are_refused(small, add, name):
    groups = small.jobtrack.groups
    for call in (
        lambda: groups.create(name),
        lambda: groups.create("fine", key=name),
        lambda: groups.get_or_create(name),
        lambda: add.apply_async((1, 2), tags=[name]),
        lambda: add.apply_async((1, 2), task_id=name),
        lambda: add.job(1, 2).tagged(name),
        lambda: add.job(1, 2).on_queue(name),
    ):
        refused(small, InvalidPayload, "must not hold control characters", call)
    assert groups.list().items == ()


def test_odd_names_are_names_like_any_other(small, add):
    group = small.jobtrack.groups.create(ODD, key=ODD, description=ODD, payload={ODD: ODD})
    result = add.apply_async((ODD, ODD), task_id=ODD, tags=[ODD], job_group=group)
    assert result.job().tags == (ODD,)
    assert [job.id for job in small.jobtrack.inspect.jobs(tag=ODD).items] == [ODD]
    found = small.jobtrack.groups.get_or_create(ODD)
    assert (found, found.payload, found.status().total) == (group, {ODD: ODD}, 1)


def test_odd_arguments_are_sent_and_shown(small, add):
    result = add.delay("nul\x00 and \x1b[31m", "lone \ud800")
    assert "\x00" not in result.job().args
    assert small.queued() == 1


def test_a_payload_of_a_megabyte_is_sent_and_shown_short(small, add):
    job = add.delay("x" * 1_000_000, "y").job()
    assert len(job.args) <= 1024
    assert len(small.jobtrack.store.message(job.id)) > 1_000_000


def test_a_group_payload_that_json_cannot_hold_is_refused(small):
    for payload in (object(), {"a": math.nan}, b"bytes"):
        with pytest.raises(InvalidPayload, match="payload must be something that JSON can hold"):
            small.jobtrack.groups.create("g", payload=payload)
    assert small.jobtrack.groups.list().items == ()


def test_a_key_that_is_taken_is_refused(small):
    small.jobtrack.groups.create("first", key="k")
    with pytest.raises(InvalidPayload, match=r"key 'k' is taken .* use get_or_create"):
        small.jobtrack.groups.create("second", key="k")
    assert len(small.jobtrack.groups.list().items) == 1


@pytest.mark.parametrize("priority", [10, -1, 1.5, "high", True])
def test_a_priority_out_of_range_is_refused(small, add, priority):
    refused(small, InvalidPayload, "from 0 to 9", lambda: add.job(1, 2).with_priority(priority).dispatch())


@pytest.mark.parametrize("when", ["tomorrow", True, None, 10**20])
def test_a_time_that_is_none_is_refused(small, add, when):
    refused(small, InvalidPayload, "time", lambda: add.dispatch_at(when, 1, 2))


@pytest.mark.parametrize("seconds", [-1, "soon", math.inf])
def test_a_delay_that_is_none_is_refused(small, add, seconds):
    refused(small, InvalidPayload, "delay_for", lambda: add.job(1, 2).delay_for(seconds).dispatch())


def test_tags_given_as_one_string_are_refused(small, add):
    refused(small, InvalidPayload, "tags must be a list", lambda: add.apply_async((1, 2), tags="red"))


@pytest.mark.parametrize(
    "about",
    [
        {"description": None},
        {"standing": "no"},
        {"settle_after": 1e300},
        {"time_to_check": 1e12},
        {"time_to_check": "soon"},
    ],
)
def test_a_group_that_cannot_be_kept_is_refused(small, about):
    with pytest.raises(InvalidPayload):
        small.jobtrack.groups.create("g", **about)
    assert small.jobtrack.groups.list().items == ()


def test_a_standing_group_is_never_sealed(small):
    with pytest.raises(InvalidPayload, match="is never sealed"):
        small.jobtrack.groups.create("g").seal()


def test_an_unknown_queue_is_refused_where_queues_are_not_created(small, add):
    small.app.conf.task_create_missing_queues = False
    refused(small, UnknownQueue, "no queue 'hihg'", lambda: add.job(1, 2).on_queue("hihg").dispatch())


def test_unknown_ids_are_reported_with_the_namespace(small, add):
    small.app.conf.jobtrack_namespace = "elsewhere"
    gone = small.jobtrack.groups.create("gone", standing=False)
    gone.record = gone.record.evolve(id="gone")
    inspect, groups, result = small.jobtrack.inspect, small.jobtrack.groups, add.AsyncResult("nope")
    asked = {
        UnknownJob: [
            lambda: inspect.job("nope"), lambda: inspect.verify("nope"), lambda: inspect.result("nope"),
            lambda: small.jobtrack.cancel("nope"), lambda: small.jobtrack.retry("nope"),
            lambda: small.jobtrack.forget("nope"),
            result.job, result.cancel, result.retry, lambda: result.wait_settled(1),
        ],
        UnknownGroup: [
            lambda: inspect.why("gone"), lambda: groups.get("gone"), gone.status, gone.refresh, gone.wait,
            gone.seal, gone.cancel, gone.mark_running, gone.reopen, gone.retry_failed,
            lambda: list(gone.results()), lambda: gone.add([add.s(1, 2)]),
            lambda: gone.dispatch([add.s(1, 2)], max_outstanding=1),
            lambda: add.apply_async((1, 2), job_group="gone"),
        ],
    }  # fmt: skip
    for kind, calls in asked.items():
        for call in calls:
            with pytest.raises(kind, match="in namespace 'elsewhere'"):
                call()


def test_unknown_ids_are_told_apart(small, add):
    with pytest.raises(UnknownJob, match="'nope' was never recorded"):
        small.jobtrack.inspect.job("nope")
    with pytest.raises(UnknownJob):
        small.jobtrack.inspect.verify("nope")
    with pytest.raises(UnknownJob):
        small.jobtrack.cancel("nope")
    with pytest.raises(UnknownGroup):
        small.jobtrack.groups.get("nope")
    with pytest.raises(UnknownJob, match="known: none"):
        small.jobtrack.dispatch("send-email")


@pytest.mark.parametrize("limit", [0, 1001, "ten", True])
def test_a_page_of_no_size_is_refused(small, limit):
    with pytest.raises(InvalidPayload, match="limit must be"):
        small.jobtrack.inspect.jobs(limit=limit)


def test_a_state_that_is_none_is_refused_with_those_there_are(small):
    with pytest.raises(InvalidPayload, match="'DONE' is not a state; it must be one of ENQUEUED"):
        small.jobtrack.inspect.jobs(state="DONE")


def test_a_store_that_is_away_is_refused_where_it_is_needed(small, add, monkeypatch):
    def away(*_):
        raise StoreUnavailable("the store is away")

    group = small.jobtrack.groups.create("g")
    monkeypatch.setattr(small.jobtrack.store, "enqueue", away)
    with pytest.raises(StoreUnavailable):
        add.apply_async((1, 2), job_group=group)
    assert small.queued() == 0
    add.delay(1, 2)
    assert small.queued() == 1


def test_a_store_that_is_away_can_stop_every_dispatch(add, small, monkeypatch):
    def away(*_):
        raise StoreUnavailable("the store is away")

    store = small.jobtrack.store
    monkeypatch.setattr(store, "enqueue", away)
    monkeypatch.setattr(small.jobtrack.runtime, "_settings", _raising(small))
    with pytest.raises(StoreUnavailable):
        add.delay(1, 2)
    assert small.queued() == 0


def _raising(small):
    from dataclasses import replace

    return replace(small.jobtrack.settings, on_store_error="raise")


@pytest.mark.parametrize("job_id", [None, 5, "", b"id", ["id"], "line\nbreak"])
def test_what_cannot_be_a_jobs_id_is_not_cancelled(small, job_id):
    refused(small, InvalidPayload, "a job's id must", lambda: small.jobtrack.cancel(job_id))
