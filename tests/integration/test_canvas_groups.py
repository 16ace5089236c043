"""Canvas as members of groups, and Celery's own groups as groups, under a real worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from celery import chain, chord, group

from celery_jobtrack import JobTrack
from celery_jobtrack.errors import UnknownGroup
from celery_jobtrack.model.state import JobState, Reason
from tests.integration.canvas_examples import REPLACEMENTS
from tests.integration.canvas_kitchen import BOUND, Kitchen
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def kitchen(redis_server):
    """Tracked tasks with a worker, on SQLite."""
    with tempfile.TemporaryDirectory(prefix="jobtrack-canvas-") as folder:
        opened = Kitchen(Path(folder), redis_server.new_database(), f"sqlite:///{folder}/jobs.db")
        with opened.worker():
            yield opened
        opened.close()


@pytest.fixture
def jobtrack(kitchen):
    return JobTrack.of(kitchen.app)


@pytest.fixture
def batch(jobtrack):
    return jobtrack.groups.create("canvas", standing=False)


def completed(batch):
    """The numbers of a batch that has got all its members, when it has completed."""
    if not batch.refresh().sealed:
        batch.seal()
    status = batch.wait(BOUND)
    return status.total, status.succeeded, status.failed, status.revoked, status.skipped


def group_of_celery(jobtrack, result):
    """The group of jobs that a ``GroupResult`` stands for, when it has completed."""
    found = jobtrack.groups.get(result.id)
    found.wait(BOUND)
    return found.refresh()


def members(batch):
    return sorted(job.task for job in batch.members(limit=500).items)


# -- members that somebody asked for -----------------------------------------------------------------


def test_canvas_chain_is_one_member_settled_by_its_last_task(kitchen, batch):
    result = (kitchen.add.s(1, 1) | kitchen.add.s(2) | kitchen.mul.s(10)).apply_async(job_group=batch)
    assert batch.status().total == 1
    assert completed(batch) == (1, 1, 0, 0, 0)
    assert result.get(timeout=BOUND) == 40
    (member,) = batch.members().items
    assert (member.id, member.task, member.queue) == (result.id, "canvas.mul", "celery")


def test_canvas_chain_that_fails_in_the_middle_fails_its_member(kitchen, jobtrack, batch):
    sig = kitchen.add.s(1, 1) | kitchen.raising.s() | kitchen.add.s(1)
    result = sig.apply_async(job_group=batch)
    assert completed(batch) == (1, 0, 1, 0, 0)
    member = jobtrack.inspect.job(result.id)
    assert (member.state, member.reason, member.error.type) == (
        JobState.FAILURE,
        Reason.ERROR,
        "UpstreamFailed",
    )
    assert result.parent.id in member.error.message


def test_canvas_chord_is_one_member_settled_by_its_body(kitchen, batch):
    chord([kitchen.add.s(n, n) for n in range(5)], kitchen.xsum.s()).apply_async(job_group=batch)
    assert batch.status().total == 1
    assert completed(batch) == (1, 1, 0, 0, 0)
    assert members(batch) == ["canvas.xsum"]


def test_canvas_chord_whose_header_fails_fails_its_member(kitchen, batch):
    header = [kitchen.add.s(1, 1), kitchen.raising.s(), kitchen.add.s(2, 2)]
    chord(header, kitchen.xsum.s()).apply_async(job_group=batch)
    assert completed(batch) == (1, 0, 1, 0, 0)


def test_canvas_chord_in_a_chord_whose_inner_header_fails_fails_its_member(kitchen, batch):
    """Celery leaves the outer body waiting for ever."""
    inner = chord([kitchen.add.s(1, 1), kitchen.raising.s()], kitchen.xsum.s())
    chord([inner, kitchen.add.s(3, 3)], kitchen.xsum.s()).apply_async(job_group=batch)
    assert completed(batch) == (1, 0, 1, 0, 0)


def test_canvas_chain_of_groups_is_the_member_of_its_last_task(kitchen, batch):
    parts = group(kitchen.add.s(1, 1), kitchen.add.s(2, 2))
    sig = parts | group(kitchen.xsum.s(), kitchen.xsum.s()) | kitchen.xsum.s() | kitchen.add.s(1)
    result = sig.apply_async(job_group=batch)
    assert batch.status().total == 1
    assert completed(batch) == (1, 1, 0, 0, 0)
    assert result.get(timeout=BOUND) == 13


def test_canvas_group_is_flattened_to_its_leaves(kitchen, batch):
    sig = group(
        kitchen.add.s(1, 1),
        group(kitchen.add.s(2, 2), kitchen.add.s(1, 1) | kitchen.add.s(2)),
        chord([kitchen.add.s(1, 1), kitchen.add.s(2, 2) | kitchen.add.s(2)], kitchen.xsum.s()),
        kitchen.add.s(3, 3) | group(kitchen.add.s(1), kitchen.add.s(2)) | kitchen.xsum.s(),
    )
    sig.apply_async(job_group=batch)
    assert batch.status().total == 5
    assert completed(batch) == (5, 5, 0, 0, 0)


def test_canvas_chain_that_ends_in_a_group_counts_each_of_its_tasks(kitchen, jobtrack):
    for first, expected in ((kitchen.add.si(1, 1), (2, 2, 0, 0, 0)), (kitchen.raising.s(), (2, 0, 2, 0, 0))):
        batch = jobtrack.groups.create("ends in a group", standing=False)
        (first | group(kitchen.add.si(1, 1), kitchen.add.si(2, 2))).apply_async(job_group=batch)
        assert completed(batch) == expected


def test_canvas_one_of_two_ends_that_fails_leaves_the_other(kitchen, batch):
    (kitchen.add.si(1, 1) | group(kitchen.raising.si(), kitchen.add.si(2, 2))).apply_async(job_group=batch)
    assert completed(batch) == (2, 1, 1, 0, 0)


def test_canvas_step_that_is_ignored_skips_its_member(kitchen, batch):
    (kitchen.ignored.s("skipped") | kitchen.add.s(1)).apply_async(job_group=batch)
    assert completed(batch) == (1, 0, 0, 0, 1)


def test_canvas_retries_stay_in_their_flow(kitchen, batch):
    (kitchen.flaky.s(1, 2) | kitchen.flaky.s(2) | kitchen.add.s(2)).apply_async(job_group=batch)
    assert completed(batch) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("how", REPLACEMENTS)
def test_canvas_replaced_tasks_stay_in_their_flow(kitchen, batch, how):
    (kitchen.replaced.s(5, how) | kitchen.identity.s()).apply_async(job_group=batch)
    chord([kitchen.replaced.s(5, how)], kitchen.identity.s()).apply_async(job_group=batch)
    kitchen.replaced.apply_async((5, how), job_group=batch)
    assert completed(batch) == (3, 3, 0, 0, 0)


@pytest.mark.parametrize("how", ["error", "failing chain", "failing chord"])
def test_canvas_replacement_that_fails_fails_the_member(kitchen, batch, how):
    (kitchen.replaced.s(5, how) | kitchen.identity.s()).apply_async(job_group=batch)
    chord([kitchen.replaced.s(5, how)], kitchen.identity.s()).apply_async(job_group=batch)
    kitchen.replaced.apply_async((5, how), job_group=batch)
    assert completed(batch) == (3, 0, 3, 0, 0)


def test_canvas_maps_are_members(kitchen, batch):
    kitchen.add.starmap([(1, 1), (2, 2)]).apply_async(job_group=batch)
    (kitchen.add.si(1, 1) | kitchen.add.starmap([(1, 1)])).apply_async(job_group=batch)
    kitchen.add.chunks([(1, 1), (2, 2), (3, 3)], 2).apply_async(job_group=batch)
    (kitchen.add.si(1, 1) | kitchen.add.chunks([(1, 1), (2, 2), (3, 3)], 2)).apply_async(job_group=batch)
    assert completed(batch) == (5, 5, 0, 0, 0)


def test_canvas_steps_that_name_a_group_each_are_counted_each(kitchen, batch):
    steps = [kitchen.add.s(1, 1), kitchen.add.s(2)]
    chain(step.set(job_group=batch.id) for step in steps).apply_async()
    wait_until(lambda: batch.status().succeeded == 2, BOUND, "not both steps were counted")
    assert completed(batch) == (2, 2, 0, 0, 0)


def test_canvas_step_knows_the_group_of_its_chain(kitchen, batch):
    result = (kitchen.add.si(1, 1) | kitchen.group_title.si() | kitchen.identity.s()).apply_async(
        job_group=batch
    )
    assert result.get(timeout=BOUND) == "canvas"


def test_canvas_step_is_refused_when_its_group_was_cancelled(kitchen, batch):
    result = (kitchen.add.si(1, 1).set(countdown=1) | kitchen.add.si(2, 2)).apply_async(job_group=batch)
    batch.cancel()
    status = batch.wait(BOUND)
    assert (status.total, status.revoked, status.state) == (1, 1, "CANCELLED")
    step = result.parent.wait_settled(BOUND)
    assert (step.state, step.reason) == (JobState.REVOKED, Reason.GROUP_CANCELLED)


def test_canvas_step_that_is_cancelled_takes_its_member_along(kitchen, jobtrack, batch):
    result = (kitchen.add.si(1, 1).set(countdown=60) | kitchen.add.si(2, 2)).apply_async(job_group=batch)
    jobtrack.cancel(result.parent.id)
    assert completed(batch) == (1, 0, 0, 1, 0)
    assert jobtrack.inspect.job(result.id).reason is Reason.CANCELLED
    assert result.state == "REVOKED"


def test_canvas_step_whose_process_dies_fails_its_member(kitchen, batch):
    (kitchen.die.si() | kitchen.add.si(2, 2)).apply_async(job_group=batch)
    chord([kitchen.die.si(), kitchen.add.si(2, 2)], kitchen.xsum.s()).apply_async(job_group=batch)
    assert completed(batch) == (2, 0, 2, 0, 0)


def test_canvas_of_tasks_that_are_not_tracked_is_counted_by_its_end(kitchen, batch):
    (kitchen.plain.si(1) | kitchen.plain.si(2)).apply_async(job_group=batch)
    (kitchen.plain.si(1) | kitchen.plain.si(0) | kitchen.add.si(1, 1)).apply_async(job_group=batch)
    assert completed(batch) == (2, 1, 1, 0, 0)


# -- Celery's own groups -----------------------------------------------------------------------------


def test_canvas_group_shows_up_as_a_group(kitchen, jobtrack):
    result = group(kitchen.add.s(n, n) for n in range(10))()
    found = jobtrack.groups.get(result.id)
    assert (found.title, found.totals.total, found.payload["canvas"]) == ("canvas.add", 10, "group")
    found = group_of_celery(jobtrack, result)
    assert (found.state, found.totals.succeeded) == ("COMPLETED", 10)


def test_canvas_group_with_failures_completes(kitchen, jobtrack):
    result = group(kitchen.add.s(1, 1), kitchen.raising.s(), kitchen.flaky.s(1, 2))()
    totals = group_of_celery(jobtrack, result).totals
    assert (totals.total, totals.succeeded, totals.failed) == (3, 2, 1)


def test_canvas_header_of_a_chord_shows_up_as_a_group(kitchen, jobtrack):
    result = chord([kitchen.add.s(n, n) for n in range(5)], kitchen.xsum.s())()
    assert result.get(timeout=BOUND) == 20
    found = group_of_celery(jobtrack, result.parent)
    assert (found.payload["canvas"], found.totals.total, found.totals.succeeded) == ("chord", 5, 5)
    assert members(found) == ["canvas.add"] * 5
    assert jobtrack.inspect.job(result.id).group_id is None


def test_canvas_group_of_canvas_counts_each_as_one(kitchen, jobtrack):
    result = group(
        kitchen.add.s(1, 1) | kitchen.add.s(2) | kitchen.mul.s(3),
        chord([kitchen.add.s(1, 1), kitchen.add.s(2, 2)], kitchen.xsum.s()),
        kitchen.raising.si() | kitchen.add.s(1),
        chord([kitchen.raising.si(), kitchen.add.s(2, 2)], kitchen.identity.s()),
        kitchen.identity.s(1),
    )()
    assert jobtrack.groups.get(result.id).totals.total == 5
    found = group_of_celery(jobtrack, result)
    assert (found.totals.succeeded, found.totals.failed) == (3, 2)
    assert members(found) == ["canvas.add", "canvas.identity", "canvas.identity", "canvas.mul", "canvas.xsum"]


def test_canvas_chord_in_a_chain_in_a_chord_is_counted_where_it_stands(kitchen, jobtrack):
    inner = kitchen.add.s(1, 1) | group(kitchen.add.s(1), kitchen.add.s(2)) | kitchen.xsum.s()
    result = chord([inner, kitchen.add.s(3, 3)], kitchen.xsum.s())()
    assert result.get(timeout=BOUND) == 13
    found = group_of_celery(jobtrack, result.parent)
    assert members(found) == ["canvas.add", "canvas.xsum"]


def test_canvas_group_that_is_sent_by_a_job_shows_up(kitchen, jobtrack):
    result = kitchen.spawn.delay(3)
    result.get(timeout=BOUND)
    (child,) = kitchen.children(result, 1)
    found = group_of_celery(jobtrack, child)
    assert (found.totals.succeeded, found.payload["parent_id"]) == (3, result.id)


def test_canvas_group_that_replaces_a_job_shows_up(kitchen, jobtrack):
    before = {found.id for found in jobtrack.groups.list(limit=500).items}
    assert kitchen.replaced.delay(5, "group").get(timeout=BOUND) == [6, 7]
    (made,) = (found for found in jobtrack.groups.list(limit=500).items if found.id not in before)
    made.wait(BOUND)
    assert (made.refresh().totals.succeeded, members(made)) == (2, ["canvas.add", "canvas.add"])


def test_canvas_chord_that_grows_counts_what_is_added(kitchen, jobtrack):
    result = chord([kitchen.extend_chord.s(1), kitchen.add.s(2, 2)], kitchen.xsum.s())()
    result.get(timeout=BOUND)
    assert group_of_celery(jobtrack, result.parent).totals.succeeded == 3


def test_canvas_group_of_maps_shows_up(kitchen, jobtrack):
    result = group(kitchen.add.starmap([(1, 1), (2, 2)]), kitchen.add.s(3, 3))()
    found = group_of_celery(jobtrack, result)
    assert members(found) == ["canvas.add", "celery.starmap"]
    assert found.totals.succeeded == 2


def test_canvas_group_of_other_tasks_does_not_show_up(kitchen, jobtrack):
    result = group(kitchen.plain.si(1), kitchen.plain.si(2))()
    result.get(timeout=BOUND)
    with pytest.raises(UnknownGroup):
        jobtrack.groups.get(result.id)


def test_canvas_group_can_be_cancelled(kitchen, jobtrack):
    result = group(kitchen.add.s(n, n).set(countdown=60) for n in range(3))()
    found = jobtrack.groups.get(result.id).cancel()
    found.wait(BOUND)
    assert (found.refresh().state, found.totals.revoked) == ("CANCELLED", 3)
    wait_until(result.ready, BOUND, "the results were not told")
    assert [each.state for each in result] == ["REVOKED"] * 3
