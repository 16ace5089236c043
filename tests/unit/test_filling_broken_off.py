"""Groups whose filling breaks off, by an exception or with its process."""

from __future__ import annotations

import time

import pytest

from celery_jobtrack.errors import DispatchFailed, InvalidPayload, StoreUnavailable
from celery_jobtrack.features.groups import hold
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.pledge import without_pledges
from celery_jobtrack.model.requests import FinishRequest, Origin, StartRequest
from celery_jobtrack.model.state import JobState, Outcome

LATER = hold.FILLING_LEASE + 1


def add(x, y):
    return x + y


def told(group_id, what):
    return None


@pytest.fixture
def tasks(small):
    class Tasks:
        add = small.task(name="add")(globals()["add"])
        told = small.task(name="told")(globals()["told"])

    return Tasks


@pytest.fixture
def make(small, tasks):
    def make(title="g", **about):
        calls = {name: tasks.told.s(name) for name in ("then", "catch", "finally_")}
        return small.jobtrack.groups.create(title, **calls, **about)

    return make


@pytest.fixture
def dying(small):
    """Enters a block that nobody leaves: its process is gone, and does not renew its hold either."""
    entered = []

    def enter(block):
        entered.append(block)
        return block.__enter__()

    yield enter
    for block in reversed(entered):
        block.__exit__(None, None, None)


def run_all(small, group):
    """What a worker records that runs all members that are queued; the group's events are delivered."""
    runtime = small.jobtrack.runtime
    for job in group.members(state=JobState.ENQUEUED, limit=100).items:
        if job.task == GROUP_TASK:
            continue
        origin = Origin(job_id=job.id, task=job.task, group_id=job.group_id)
        start = StartRequest(origin=origin, token=f"run-{job.id}", worker=runtime.worker())
        with runtime.eagerly():
            if runtime.tracker.start(start).admitted:
                runtime.tracker.finish(FinishRequest(start=start, outcome=Outcome.SUCCESS))
            runtime.tracker.delivery.deliver_due()
    return group.refresh()


def check(small, seconds=LATER):
    small.jobtrack.store._clock = lambda: time.time() + seconds
    small.jobtrack.check()
    with small.jobtrack.runtime.eagerly():
        small.jobtrack.runtime.tracker.delivery.deliver_due()


def due(group):
    return {str(each.kind) for each in group.callbacks() if each.job is not None}


def broken(tasks, count=3):
    for number in range(count):
        yield tasks.add.s(number, 1)
    raise OSError("no more")


# -- the process dies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["before", "behind"])
def test_standing_group_is_incomplete_when_its_filler_dies(small, tasks, make, dying, ends):
    group = dying(make().filling())
    tasks.add.apply_async((1, 2), job_group=group)
    if ends == "behind":
        # The end of the last member must not be faster than the checker.
        small.jobtrack.store._clock = lambda: time.time() + LATER
    assert not run_all(small, group).is_over
    check(small)
    assert (group.refresh().outcome, group.incomplete, due(group)) == ("FAILED", True, {"catch", "finally"})
    assert [*small.jobtrack.store.fillers(group.id)] == []
    tasks.add.apply_async((1, 2), job_group=group)
    assert (run_all(small, group).outcome, group.generation) == ("SUCCEEDED", 2)


def test_why_says_that_the_filler_died(small, tasks, make, dying):
    group = dying(make().filling())
    tasks.add.apply_async((1, 2), job_group=group)
    assert sum("filling it" in line for line in small.jobtrack.inspect.why(group).said) == 1
    small.jobtrack.store._clock = lambda: time.time() + LATER
    said = small.jobtrack.inspect.why(group).said
    assert any(line.startswith("who filled it has died before all was sent") for line in said), said


def test_standing_group_that_is_over_is_filled_for_its_next_generation(small, tasks, make, dying):
    group = make()
    tasks.add.apply_async((1, 2), job_group=group)
    assert run_all(small, group).outcome == "SUCCEEDED"
    dying(group.filling())
    tasks.add.apply_async((1, 2), job_group=group)
    run_all(small, group)
    check(small)
    assert (group.refresh().outcome, group.generation) == ("FAILED", 2)


def test_standing_group_is_well_when_its_filler_died_before_anything_was_recorded(small, tasks, make, dying):
    group = dying(make().filling())
    check(small)
    assert (str(group.refresh().state), group.incomplete, due(group)) == ("AWAITING", False, set())
    assert [*small.jobtrack.store.fillers(group.id)] == []
    tasks.add.apply_async((1, 2), job_group=group)
    assert run_all(small, group).outcome == "SUCCEEDED"


@pytest.mark.parametrize("heard_of", [0, 20])
def test_next_generation_is_well_when_its_filler_died_before_it_began(small, tasks, make, dying, heard_of):
    group = make()
    tasks.add.apply_async((1, 2), job_group=group)
    run_all(small, group)
    store = small.jobtrack.store
    dying(group.filling())
    store._clock = lambda: time.time() + heard_of
    (token,) = without_pledges(store.fillers(group.id))
    store.begin_filling(group.id, token, hold.FILLING_LEASE)
    for seconds in (LATER, 2 * LATER, 3 * LATER):
        check(small, seconds)
    assert (store.fillers(group.id), group.refresh().generation, group.incomplete) == ({}, 1, False)
    tasks.add.apply_async((1, 2), job_group=group)
    assert (run_all(small, group).outcome, group.generation) == ("SUCCEEDED", 2)


def test_group_that_is_filled_by_two_is_incomplete_when_one_dies(small, tasks, make, dying):
    group = dying(make().filling())
    small.jobtrack.store._clock = lambda: time.time() + LATER
    small.jobtrack.groups.get(group.id).dispatch([tasks.add.s(1, 2)])
    assert not run_all(small, group).is_over
    check(small)
    assert (group.refresh().outcome, group.incomplete) == ("FAILED", True)


def test_hold_of_reopen_that_runs_out_says_nothing(small, tasks, make):
    group = make()
    tasks.add.apply_async((1, 2), job_group=group)
    run_all(small, group)
    group.reopen()
    tasks.add.apply_async((1, 2), job_group=group)
    assert not run_all(small, group).is_over
    check(small)
    assert (group.refresh().outcome, group.generation) == ("SUCCEEDED", 2)


def test_whole_batch_is_incomplete_when_who_adds_to_it_dies(small, tasks, make, dying):
    batch = make(standing=False)
    batch.dispatch([tasks.add.s(1, 2)])
    dying(batch.filling())
    tasks.add.apply_async((1, 2), job_group=batch)
    assert not run_all(small, batch).is_over
    check(small)
    assert (batch.refresh().outcome, batch.incomplete, due(batch)) == ("FAILED", True, {"catch", "finally"})


def test_same_dispatch_takes_over_what_the_dead_one_left(small, tasks, make, dying):
    group = make()
    dying(group._filling(key="k"))
    tasks.add.apply_async((1, 2), job_group=group)
    group.dispatch([tasks.add.s(1, 2)], key="k")
    assert run_all(small, group).outcome == "SUCCEEDED"


def test_pledge_says_nothing_of_a_later_generation(small, tasks, make, dying):
    group = dying(make().filling())
    tasks.add.apply_async((1, 2), job_group=group)
    group.cancel()
    assert group.refresh().is_over
    other = small.jobtrack.groups.get(group.id)
    small.jobtrack.store._clock = lambda: time.time() + LATER
    other.reopen().dispatch([tasks.add.s(1, 2)])
    run_all(small, other)
    check(small, 2 * LATER)
    assert (other.refresh().outcome, other.generation) == ("SUCCEEDED", 2)


@pytest.mark.parametrize("on_failure", ["cancel", "continue"])
def test_batches_in_batches_are_all_incomplete_when_who_fills_them_dies(
    small, tasks, make, dying, on_failure
):
    about = {"standing": False, "on_failure": on_failure}
    outer = make("outer", **about)
    middle = make("middle", parent=outer, **about)
    inner = make("inner", parent=middle, **about)
    for number, batch in enumerate((outer, middle, inner)):
        # Each hold is renewed by a thread of its own, so the outer one may run out before.
        small.jobtrack.store._clock = lambda number=number: time.time() + 5 * number
        dying(batch.filling())
        tasks.add.apply_async((1, 2), job_group=batch)
    for seconds in (LATER, LATER + 5):
        check(small, seconds)
        assert [batch.refresh().incomplete for batch in (outer, middle, inner)] == [False] * 3
    check(small, LATER + 10)
    assert [batch.refresh().incomplete for batch in (outer, middle, inner)] == [True] * 3
    run_all(small, inner)
    # The others wait for the callbacks of those inside.
    assert (inner.outcome, due(inner)) == ("FAILED", {"catch", "finally"})
    check(small, LATER + 100)
    assert [due(batch) for batch in (middle, outer)] == [{"catch"}, {"catch"}]


# -- an exception --------------------------------------------------------------------------------------


def test_batch_is_incomplete_when_the_block_that_fills_it_raises(small, tasks, make):
    batch = make(standing=False)

    def fill():
        with batch.filling():
            tasks.add.apply_async((1, 2), job_group=batch)
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        fill()
    run_all(small, batch)
    assert (batch.outcome, batch.incomplete, due(batch)) == ("FAILED", True, {"catch", "finally"})


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_standing_group_is_incomplete_when_the_block_that_fills_it_raises(small, tasks, make, error):
    group = make()

    def fill():
        with group.filling():
            tasks.add.apply_async((1, 2), job_group=group)
            raise error

    with pytest.raises(error):
        fill()
    run_all(small, group)
    assert (group.outcome, group.incomplete, due(group)) == ("FAILED", True, {"catch", "finally"})


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_standing_group_has_not_begun_when_nothing_was_recorded(small, tasks, make, error):
    group = make()

    def members():
        yield tasks.add.s(1, 2)
        raise error

    with pytest.raises((DispatchFailed, KeyboardInterrupt)):
        group.dispatch(broken(tasks, 0) if error is OSError else members())
    assert (str(group.refresh().state), group.incomplete, due(group)) == ("AWAITING", False, set())


@pytest.mark.parametrize("catch", [False, True])
def test_batch_is_whole_if_who_fills_it_says_so_after_an_exception_of_which_nobody_was_told(
    small, tasks, catch
):
    calls = {"catch": tasks.told.s("catch")} if catch else {}
    batch = small.jobtrack.groups.create("g", standing=False, **calls)
    tasks.add.apply_async((1, 2), job_group=batch)
    with pytest.raises(DispatchFailed, match="no more"):
        batch.add(broken(tasks, 0))
    with batch.filling():
        tasks.add.apply_async((1, 2), job_group=batch)
    batch.seal()
    run_all(small, batch)
    assert batch.outcome == ("FAILED" if catch else "SUCCEEDED")


@pytest.mark.parametrize("standing", [True, False])
def test_group_is_incomplete_when_adding_breaks_off(small, tasks, make, standing):
    group = make(standing=standing)
    with pytest.raises(DispatchFailed):
        group.add(broken(tasks))
    run_all(small, group)
    assert (group.outcome, group.incomplete, group.status().total) == ("FAILED", True, 3)
    assert due(group) == {"catch", "finally"}


@pytest.mark.parametrize("how", ["add", "dispatch"])
def test_batch_that_waits_for_its_seal_is_incomplete_when_its_members_are_refused(small, tasks, make, how):
    batch = make(standing=False)
    with pytest.raises(InvalidPayload):
        getattr(batch, how)([tasks.add.s(1, 2), 3])
    assert (batch.refresh().outcome, batch.incomplete, batch.status().total) == ("FAILED", True, 0)
    check(small)
    assert due(batch) == {"catch", "finally"}


@pytest.mark.parametrize("how", ["add", "dispatch"])
@pytest.mark.parametrize("standing", [True, False])
def test_group_that_needs_no_seal_is_as_it_was_when_a_list_is_refused(small, tasks, make, how, standing):
    group = make(standing=standing)
    group.dispatch([tasks.add.s(1, 2)])
    with pytest.raises(InvalidPayload):
        getattr(small.jobtrack.groups.get(group.id), how)([tasks.add.s(1, 2), 3])
    run_all(small, group)
    assert (group.outcome, group.incomplete, group.status().total) == ("SUCCEEDED", False, 1)


def test_batch_ends_when_the_hold_of_its_reopening_cannot_be_let_go(small, tasks, make, monkeypatch):
    batch = make(standing=False)
    with pytest.raises(DispatchFailed):
        batch.dispatch(broken(tasks))
    run_all(small, batch)
    batch.reopen()
    store, end_filling = small.jobtrack.store, small.jobtrack.store.end_filling

    def end_and_lose_the_answer(group_id, token):
        monkeypatch.setattr(store, "end_filling", end_filling)
        end_filling(group_id, token)
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "end_filling", end_and_lose_the_answer)
    with pytest.raises(StoreUnavailable):
        batch.add([tasks.add.s(1, 2)])
    check(small)
    assert (batch.refresh().outcome, batch.incomplete) == ("FAILED", True)
