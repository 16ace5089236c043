"""Canvas in groups, as far as sending goes: what is counted before anything is sent, what goes wrong."""

from __future__ import annotations

import pytest
from celery import chain, chord, group, signature
from celery.signals import before_task_publish
from kombu.exceptions import OperationalError

from celery_jobtrack.errors import GroupCancelled, InvalidPayload, StoreUnavailable, UnknownGroup
from celery_jobtrack.integration.canvas_groups import LEASE, CanvasGroups
from celery_jobtrack.integration.flow import Flow, Member
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import JobState
from tests.unit.apps import SmallApp


@pytest.fixture
def tasks(small):
    """Two tracked tasks of an app without a worker."""

    @small.task(name="small.add")
    def add(x, y):
        return x + y

    @small.task(name="small.total")
    def total(numbers):
        return sum(numbers)

    return small.app.tasks


@pytest.fixture
def add(tasks):
    return tasks["small.add"]


@pytest.fixture
def total(tasks):
    return tasks["small.total"]


@pytest.fixture
def batch(small):
    return small.jobtrack.groups.create("canvas", standing=False)


def counted(batch):
    return [(job.id, job.published_at is not None) for job in batch.members().items]


# -- what somebody gave a group ----------------------------------------------------------------------


def test_canvas_member_is_counted_before_its_message_exists(add, batch):
    result = (add.s(1, 1) | add.s(2) | add.s(3)).apply_async(job_group=batch)
    assert counted(batch) == [(result.id, False)]


def test_canvas_steps_are_recorded_without_being_counted(small, add, batch):
    result = (add.s(1, 1) | add.s(2)).apply_async(job_group=batch)
    step = small.jobtrack.inspect.job(result.parent.id)
    assert (step.group_id, step.state) == (None, JobState.ENQUEUED)


def test_canvas_chord_is_counted_once_however_large_its_header_is(add, total, batch):
    result = chord([add.s(n, n) for n in range(20)], total.s()).apply_async(job_group=batch)
    assert counted(batch) == [(result.id, False)]


def test_canvas_for_a_cancelled_group_sends_nothing(small, add, batch):
    batch.cancel()
    queued = small.queued()
    with pytest.raises(GroupCancelled):
        (add.s(1, 1) | add.s(2)).apply_async(job_group=batch)
    assert (small.queued(), small.recorded()) == (queued, [])


def test_canvas_that_the_broker_refuses_fails_its_member(small, add, batch, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("no broker")

    small.app.amqp.__dict__.pop("send_task_message", None)
    monkeypatch.setitem(small.app.amqp.__dict__, "send_untracked", refuse)
    with pytest.raises(OperationalError):
        (add.s(1, 1) | add.s(2)).apply_async(job_group=batch)
    assert batch.seal().refresh().is_over
    assert batch.totals.failed == 1


def test_canvas_that_cannot_be_sent_is_not_counted(small, add, batch):
    with pytest.raises(InvalidPayload):
        (add.s(object(), 1) | add.s(2)).apply_async(job_group=batch)
    assert (batch.status().total, small.recorded()) == (0, [])


def test_canvas_carries_the_groups_above(small, add):
    above = small.jobtrack.groups.create("above", standing=False)
    below = small.jobtrack.groups.create("below", standing=False, parent=above)
    sent = []

    def listen(headers=None, **_):
        sent.append(Header.load(headers))

    before_task_publish.connect(listen)
    result = (add.s(1, 1) | add.s(2)).apply_async(job_group=below)
    (header,) = sent
    assert (header.group_id, header.within) == (None, (below.id, above.id))
    assert header.part_of == (result.id,)


# -- dispatching many --------------------------------------------------------------------------------


def test_canvas_in_a_dispatch_is_one_member_each(small, add, total, batch):
    members = [
        add.s(1, 1),
        chain(add.s(1, 1), add.s(2)),
        chord([add.s(1, 1), add.s(2, 2)], total.s()),
        group(add.s(1, 1), group(add.s(2, 2), add.s(1, 1) | add.s(3))),
        add.chunks([(1, 1), (2, 2), (3, 3)], 2),
        signature(dict(add.s(4, 4) | add.s(5)), app=small.app),
    ]
    report = batch.dispatch(members)
    assert (report.total, report.sent) == (6, 6)
    assert batch.refresh().totals.total == 9
    tasks = [job.task for job in batch.members(limit=20).items]
    assert tasks.count("celery.starmap") == 2
    assert tasks.count("small.total") == 1


def test_canvas_in_a_dispatch_keeps_the_order(small, add, batch):
    parts = [add.si(1, 1), add.si(1, 1) | add.si(2, 2), add.si(3, 3)]
    batch.dispatch(parts)
    found = small.jobtrack.store.members(batch.id, 10).items
    assert [job.published_at is not None for job in found] == [True, False, True]


# -- Celery's own groups -----------------------------------------------------------------------------


def test_canvas_group_shows_up_with_its_total(small, add):
    result = group(add.s(n, n) for n in range(5))()
    found = small.jobtrack.groups.get(result.id)
    assert (found.title, found.totals.total, found.sealed) == ("small.add", 5, True)
    assert not found.status().filling


def test_canvas_groups_can_be_switched_off():
    made = SmallApp(jobtrack_canvas_groups=False)
    try:

        @made.task(name="small.add")
        def add(x, y):
            return x + y

        result = group(add.s(1, 1), add.s(2, 2))()
        with pytest.raises(UnknownGroup):
            made.jobtrack.groups.get(result.id)
        assert [job.group_id for job in made.recorded()] == [None, None]
    finally:
        made.close()


def test_canvas_is_sent_when_the_store_is_away(small, add, total, monkeypatch):
    def away(*_, **__):
        raise StoreUnavailable("away")

    store = small.jobtrack.store
    for name in ("create_group", "begin_filling", "end_filling", "enqueue"):
        monkeypatch.setattr(store, name, away)
    group(add.s(n, n) for n in range(3))()
    group(add.s(1, 1) | add.s(2), add.s(3, 3))()
    assert small.queued() == 5


def test_canvas_group_whose_store_goes_away_half_way_is_sent(small, add, monkeypatch):
    store, real = small.jobtrack.store, small.jobtrack.store.enqueue
    calls = iter(range(100))

    def failing(request):
        if next(calls) == 1:
            raise StoreUnavailable("away")
        return real(request)

    monkeypatch.setattr(store, "enqueue", failing)
    result = group(add.s(n, n) for n in range(3))()
    assert small.queued() == 3
    assert small.jobtrack.groups.get(result.id).totals.total >= 1


def test_canvas_group_that_is_sent_half_way_completes_with_what_it_has(small, add, monkeypatch):
    real = small.app.amqp.send_untracked
    calls = iter(range(100))

    def failing(*args, **options):
        if next(calls) == 1:
            raise OperationalError("no broker")
        return real(*args, **options)

    small.app.amqp.__dict__.pop("send_task_message", None)
    monkeypatch.setitem(small.app.amqp.__dict__, "send_untracked", failing)
    with pytest.raises(OperationalError):
        group(add.s(n, n) for n in range(3))()
    (found,) = small.jobtrack.groups.list().items
    assert (found.status().filling, found.totals.total, found.totals.failed) == (True, 2, 1)
    with small.app.connection_for_read() as connection:
        connection.default_channel.queue_purge(small.queue)
    store = small.jobtrack.store
    (job,) = store.jobs(JobQuery(state=JobState.ENQUEUED)).items
    small.jobtrack.cancel(job.id)
    assert not found.refresh().is_over
    assert found.refresh().next_check_at is not None


def test_canvas_group_is_held_while_it_is_sent(small):
    now = [0.0]
    groups = CanvasGroups(lambda: small.jobtrack.runtime.tracker, lambda: 60.0, clock=lambda: now[0])
    holds = []
    tracker = small.jobtrack.runtime.tracker
    hold = tracker.hold_group
    tracker.hold_group = lambda *args: (holds.append(now[0]), hold(*args))
    for _ in range(10):
        assert groups.takes("g", "many", {})
        now[0] += LEASE / 5
    assert len(holds) == 5
    groups.is_sent("g")
    assert not small.jobtrack.groups.get("g").status().filling


def test_canvas_group_that_somebody_else_made_is_not_held(small, add):
    first, second = (CanvasGroups(lambda: small.jobtrack.runtime.tracker, lambda: 60.0) for _ in range(2))
    assert first.takes("g", "one", {})
    add.apply_async((1, 1), job_group="g")
    assert second.takes("g", "one", {})
    second.is_sent("g")
    assert small.jobtrack.groups.get("g").status().filling


def test_canvas_group_keeps_the_class_of_its_result(small, add):
    result = group(add.s(1, 1))()
    assert type(result).__name__ == "GroupResult"
    assert result.as_tuple()[0][0] == result.id


# -- what messages carry -----------------------------------------------------------------------------


def test_canvas_flow_comes_back_from_a_message_as_it_was():
    levels = ((Member(id="b", group_id="g"), Member(id="c", group_id="g")), (Member(id="z"),))
    flow = Flow(levels=levels, within=("h",), asked_for=True, beside="x")
    assert Flow.load(flow.dump()) == flow
    headers = {KEY: Header(group_id=None, flow=flow).dump()}
    inner = Header.load({"id": "a", **headers})
    assert (inner.group_id, inner.within, inner.part_of) == (None, ("g", "h"), ("b", "c", "z"))
    end = Header.load({"id": "b", **headers})
    assert (end.group_id, end.within, end.part_of) == ("g", ("h",), ("z",))


def test_canvas_options_of_ours_never_reach_the_broker(small, add, batch):
    (add.s(1, 1) | add.s(2)).apply_async(job_group=batch)
    with small.app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(small.queue)
    assert "job_group" not in message.headers
