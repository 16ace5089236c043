"""Batches with real workers: callbacks, failures, additions, nesting, retries, deaths."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.integration.live import BOUND
from tests.waiting import wait_until

KINDS = ("before", "then", "catch", "finally")


def followed(shop, batch):
    """What the callbacks of a batch wrote down, in order; one that runs twice is there twice."""
    path = shop.folder / "told.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line["what"] for line in map(json.loads, lines) if line["group"] == batch.id]


def with_callbacks(shop, pending):
    told = shop.task("told")
    pending = pending.before(told.s("before")).then(told.s("then")).catch(told.s("catch"))
    return pending.finally_(told.s("finally"))


def await_closed(batch):
    wait_until(lambda: batch.refresh().closed_at is not None, BOUND, "the batch was not closed")


@pytest.mark.parametrize(
    ("members", "tolerant", "outcome", "expected"),
    [
        (["add"] * 5, False, "SUCCEEDED", {"before", "then", "finally"}),
        ([], False, "SUCCEEDED", {"before", "then", "finally"}),
        (["error"] * 8, False, "FAILED", {"before", "catch", "finally"}),
        (["add", "error", "add", "error"], True, "FAILED", {"before", "catch", "finally"}),
        (["ignore", "add"], False, "SUCCEEDED", {"before", "then", "finally"}),
    ],
)
def test_batch_runs_the_callbacks_of_its_outcome_once(running_shop, members, tolerant, outcome, expected):
    shop = running_shop
    signatures = [shop.task(name).s(*((1, 2) if name == "add" else ())) for name in members]
    pending = with_callbacks(shop, shop.jobtrack.batch(signatures, title="Matrix"))
    batch = (pending.allow_failures() if tolerant else pending).dispatch()
    await_closed(batch)
    assert batch.outcome == outcome
    assert Counter(followed(shop, batch)) == Counter(expected)
    assert {str(each.kind) for each in batch.callbacks() if each.job is not None} == expected


def test_batch_cancels_the_rest_at_its_first_failure(running_shop):
    shop = running_shop
    add, error = shop.task("add"), shop.task("error")
    later = [add.s(1, 2).set(countdown=3600) for _ in range(5)]
    batch = with_callbacks(shop, shop.jobtrack.batch([*later, error.s()], title="Strict")).dispatch()
    await_closed(batch)
    status = batch.status()
    assert (status.failed, status.revoked, status.outstanding) == (1, 5, 0)
    assert Counter(followed(shop, batch)) == Counter(["before", "catch", "finally"])


def test_cancelled_batch_runs_its_finally_and_neither_then_nor_catch(running_shop):
    shop = running_shop
    later = [shop.task("add").s(1, 2).set(countdown=3600) for _ in range(3)]
    batch = with_callbacks(shop, shop.jobtrack.batch(later, title="Cancelled")).dispatch()
    batch.cancel()
    await_closed(batch)
    assert batch.outcome == "CANCELLED"
    assert Counter(followed(shop, batch)) == Counter(["before", "finally"])


def test_progress_callback_is_due_after_every_so_many_members(running_shop):
    shop = running_shop
    add, told = shop.task("add"), shop.task("told")
    batch = shop.jobtrack.batch([add.s(n, n) for n in range(11)], title="Progress")
    batch = batch.progress(told.s("five"), every=5).progress(told.s("three"), every=3).dispatch()
    batch.wait(BOUND)
    expected = Counter(five=2, three=3)
    wait_until(lambda: Counter(followed(shop, batch)) == expected, BOUND, "not every progress was told")


def test_callback_is_retried_as_tasks_are_and_takes_its_own_queue(running_shop):
    shop = running_shop
    told = shop.task("told").s("then", fails=2).set(priority=3)
    batch = shop.jobtrack.batch([shop.task("add").s(1, 2)], title="Retried").then(told).dispatch()
    await_closed(batch)
    assert followed(shop, batch) == ["then"]
    (callback,) = batch.callbacks()
    job = shop.jobtrack.inspect.job(callback.job_id)
    assert (len(job.attempts), job.group_id, str(job.state)) == (3, None, "SUCCESS")


def test_member_adds_members_to_its_own_batch(running_shop):
    shop = running_shop
    batch = with_callbacks(shop, shop.jobtrack.batch([shop.task("adds").s(7)], title="Growing")).dispatch()
    await_closed(batch)
    assert batch.status().total == 8
    assert Counter(followed(shop, batch)) == Counter(["before", "then", "finally"])


def test_retried_batch_succeeds_and_then_follows(running_shop):
    shop = running_shop
    add, fails = shop.task("add"), shop.task("fails_until")
    name = f"retried-{shop.processes}-{id(shop)}"
    pending = shop.jobtrack.batch([add.s(1, 2), fails.s(name), fails.s(name)], title="Again")
    batch = with_callbacks(shop, pending.allow_failures()).dispatch()
    await_closed(batch)
    assert (batch.outcome, batch.status().failed) == ("FAILED", 2)
    shop.let_go(name)
    assert batch.retry_failed(exception=TypeError).queued == 0
    assert batch.refresh().generation == 1
    assert batch.retry_failed(exception=ValueError).queued == 2
    await_closed(batch)
    status = batch.status()
    assert (batch.outcome, status.total, status.succeeded) == ("SUCCEEDED", 3, 3)
    assert batch.generation == 2
    first, second = ["before", "catch", "finally"], ["before", "then", "finally"]
    assert Counter(followed(shop, batch)) == Counter(first + second)


def test_retry_brings_back_what_the_first_failure_has_cancelled(running_shop):
    shop = running_shop
    add, fails = shop.task("add"), shop.task("fails_until")
    name = f"brought-{id(shop)}"
    later = [add.s(1, 2).set(countdown=3600) for _ in range(4)]
    batch = shop.jobtrack.batch([*later, fails.s(name)], title="Brought back").dispatch()
    batch.wait(BOUND)
    assert batch.status().revoked == 4
    shop.let_go(name)
    assert batch.retry_failed().queued == 5
    batch.wait(BOUND)
    assert (batch.outcome, batch.status().succeeded) == ("SUCCEEDED", 5)


def tree(shop, leaf):
    """A batch in a batch in a batch, with members beside them, and all their callbacks."""
    add = shop.task("add")
    innermost = with_callbacks(shop, shop.jobtrack.batch([add.s(1, 1), leaf], title="innermost"))
    inner = with_callbacks(shop, shop.jobtrack.batch([innermost, add.s(2, 2)], title="inner"))
    return with_callbacks(shop, shop.jobtrack.batch([inner, add.s(3, 3)], title="outer"))


def family(shop, outer):
    """The three batches of a tree, the outer one first."""
    found = [outer]
    while True:
        page = found[-1].members(limit=100)
        children = [job.id for job in page.items if job.task == "celery_jobtrack.group"]
        if not children:
            return found
        found += [shop.jobtrack.groups.get(child) for child in children]


def test_nested_batches_end_from_the_inside_out(running_shop):
    shop = running_shop
    outer = tree(shop, shop.task("add").s(4, 4)).dispatch()
    await_closed(outer)
    batches = family(shop, outer)
    assert [batch.title for batch in batches] == ["outer", "inner", "innermost"]
    for batch in batches:
        assert batch.outcome == "SUCCEEDED"
        assert Counter(followed(shop, batch)) == Counter(["before", "then", "finally"])
    closed = [batch.closed_at for batch in batches]
    assert closed == sorted(closed, reverse=True)


def test_failure_deep_down_fails_every_batch_above_and_can_be_retried(running_shop):
    shop = running_shop
    name = f"deep-{id(shop)}"
    outer = tree(shop, shop.task("fails_until").s(name)).dispatch()
    await_closed(outer)
    batches = family(shop, outer)
    assert [batch.outcome for batch in batches] == ["FAILED"] * 3
    shop.let_go(name)
    assert outer.retry_failed().queued >= 1
    await_closed(outer)
    for batch in batches:
        assert batch.refresh().outcome == "SUCCEEDED"
        assert followed(shop, batch).count("then") == 1


def test_cancelling_the_outer_batch_cancels_those_below(running_shop):
    shop = running_shop
    outer = tree(shop, shop.task("add").s(1, 2).set(countdown=3600)).dispatch()
    outer.cancel()
    await_closed(outer)
    innermost = family(shop, outer)[-1]
    assert (outer.outcome, innermost.outcome) == ("CANCELLED", "CANCELLED")
    assert innermost.status().revoked >= 1


DISPATCH_AND_DIE = """
import os, signal
from celery_jobtrack.features.groups import hold
from tests.integration.apps.shop import app, jobtrack

hold.FILLING_LEASE = 1.0

def members():
    for n in range(4):
        yield app.tasks["shop.add"].s(n, n)
    os.kill(os.getpid(), signal.SIGKILL)

told = app.tasks["shop.told"]
pending = jobtrack.batch(members(), title="Killed", key="killed").allow_failures()
pending.then(told.s("then")).catch(told.s("catch")).finally_(told.s("finally")).dispatch(chunk=2)
"""


def test_batch_ends_although_its_dispatcher_was_killed(shop):
    with shop.worker():
        dispatcher = subprocess.run(
            [sys.executable, "-c", DISPATCH_AND_DIE], env=shop.environment(), timeout=BOUND, check=False
        )
        assert dispatcher.returncode == -signal.SIGKILL
        batch = shop.jobtrack.groups.get(shop.jobtrack.store.group_by_key("killed").id)
        await_closed(batch)
    assert (batch.outcome, batch.incomplete, batch.status().succeeded) == ("FAILED", True, 4)
    assert Counter(followed(shop, batch)) == Counter(["catch", "finally"])


FILL_AND_DIE = """
import os, signal, sys
from celery_jobtrack.features.groups import hold
from tests.integration.apps.shop import app, jobtrack

hold.FILLING_LEASE = 1.0
how = sys.argv[1]
add, told = app.tasks["shop.add"], app.tasks["shop.told"]
calls = {name: told.s(name.strip("_")) for name in ("then", "catch", "finally_")}
group = jobtrack.groups.create("Killed", key="killed", standing=how != "add", **calls)

def members():
    for n in range(4):
        yield add.s(n, n)
    os.kill(os.getpid(), signal.SIGKILL)

if how == "dispatch":
    group.dispatch(members(), chunk=2, key="killed")
elif how == "add":
    group.dispatch([])
    group.reopen().add(members())
else:
    with group.filling():
        for member in members():
            member.apply_async(job_group=group)
"""


@pytest.mark.parametrize("how", ["dispatch", "add", "filling"])
def test_group_is_incomplete_when_its_filler_was_killed(shop, how):
    with shop.worker():
        filler = subprocess.run(
            [sys.executable, "-c", FILL_AND_DIE, how], env=shop.environment(), timeout=BOUND, check=False
        )
        assert filler.returncode == -signal.SIGKILL
        group = shop.jobtrack.groups.get(shop.jobtrack.store.group_by_key("killed").id)
        await_closed(group)
    assert (group.outcome, group.incomplete) == ("FAILED", True)
    followed_last = Counter(followed(shop, group)) - Counter(["then", "finally"] if how == "add" else [])
    assert followed_last == Counter(["catch", "finally"])


def test_callbacks_follow_although_their_worker_died_at_the_completion(shop):
    """The process that ends the last member has claimed the event of the completion, and dies then."""
    told = shop.task("told")
    pending = shop.jobtrack.batch([shop.task("add").s(1, 2)], title="Dies", time_to_check=1).then(
        told.s("then")
    )
    with shop.worker("-c", "1", shop_dies_at_callbacks=True) as worker:
        batch = pending.finally_(told.s("finally")).dispatch()
        batch.wait(BOUND)
        wait_until((shop.folder / "died").exists, BOUND, "the child did not die")
        assert followed(shop, batch) == []
        worker.kill_whole()
    store = shop.jobtrack.store
    assert store.claim_events(store.claimant, group_id=batch.id) == [], "somebody dead has claimed it"
    with shop.worker():
        # Its claim lasts a minute, and the checker does not wait for that: it looks at the group in time.
        await_closed(batch)
    assert Counter(followed(shop, batch)) == Counter(["then", "finally"])
