"""Random batches under two workers, one of which is killed: all end, with the callbacks of their outcome.

``--random-runs 300`` makes so many; the seed is in the message of a failure.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from celery_jobtrack.errors import GroupCancelled, GroupCompleted
from celery_jobtrack.model.callback import due_in_all
from celery_jobtrack.model.state import CallbackKind, GroupOutcome, JobState
from tests.waiting import wait_until

USUAL = 30
LARGEST = 200
SECONDS_EACH = 10.0
"""For each batch with all in it; all of them must have ended by then."""
KINDS = ("before", "then", "catch", "finally")
AS_MEMBER = {
    GroupOutcome.SUCCEEDED: JobState.SUCCESS,
    GroupOutcome.FAILED: JobState.FAILURE,
    GroupOutcome.CANCELLED: JobState.REVOKED,
}


@dataclass
class Plan:
    """What a random batch is made of, and what is done to it."""

    name: str
    members: list[str] = field(default_factory=list)
    inside: list[Plan] = field(default_factory=list)
    tolerant: bool = True
    cancelled: bool = False
    added: int = 0
    retried: bool = False

    @property
    def may_fail(self) -> bool:
        return "fails" in self.members or any(plan.may_fail for plan in self.inside)

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled or any(plan.is_cancelled for plan in self.inside)


def random_plan(dice: random.Random, name: str, depth: int = 0) -> Plan:
    size = dice.choice([0, 1, 2, 5, 20]) if dice.random() < 0.95 else dice.randrange(LARGEST)
    fails = dice.choice([0, 0, 0.1, 0.5])
    members = [
        "fails" if dice.random() < fails else dice.choice(["add", "add", "flaky", "ignore", "adds"])
        for _ in range(size)
    ]
    inside = []
    if depth < 3 and dice.random() < 0.35:
        inside = [random_plan(dice, f"{name}.{n}", depth + 1) for n in range(dice.randint(1, 3))]
    return Plan(
        name=name,
        members=members,
        inside=inside,
        tolerant=dice.random() < 0.6,
        cancelled=depth == 0 and dice.random() < 0.1,
        added=dice.choice([0, 0, 3]) if depth == 0 else 0,
        retried=depth == 0 and dice.random() < 0.5,
    )


class Yard:
    """Makes batches of plans, and looks at what became of them."""

    def __init__(self, shop, seed: int) -> None:
        self.shop = shop
        self.seed = seed

    def pending(self, plan: Plan):
        shop = self.shop
        calls = {
            "add": lambda: shop.task("add").s(1, 2),
            "fails": lambda: shop.task("fails_until").s("mended"),
            "flaky": lambda: shop.task("flaky").s(1),
            "ignore": lambda: shop.task("ignore").s(),
            "adds": lambda: shop.task("adds").s(2),
        }
        members = [calls[name]() for name in plan.members] + [self.pending(inner) for inner in plan.inside]
        random.Random(self.seed).shuffle(members)
        told = shop.task("told")
        pending = shop.jobtrack.batch(members, title=plan.name, time_to_check=2)
        pending = pending.before(told.s("before")).then(told.s("then")).catch(told.s("catch"))
        pending = pending.finally_(told.s("finally"))
        return pending.allow_failures() if plan.tolerant else pending

    def all_below(self, batch):
        """The batch and all in it."""
        found, queue = [], [batch]
        while queue:
            found.append(queue.pop())
            cursor = None
            while True:
                page = found[-1].members(limit=1000, cursor=cursor)
                children = [job.id for job in page.items if job.task == "celery_jobtrack.group"]
                queue += [self.shop.jobtrack.groups.get(child) for child in children]
                cursor = page.cursor
                if cursor is None:
                    break
        return found

    def runs(self) -> Counter:
        """How often each callback's body ran to its end, by the id of its job."""
        path = self.shop.folder / "told.jsonl"
        return Counter(json.loads(line)["job"] for line in path.read_text().splitlines())

    def check(self, batch, runs: Counter) -> None:
        store, group = self.shop.jobtrack.store, batch.refresh().record
        about = f"seed {self.seed}: {group}"
        assert (group.outstanding, store.recompute_group(group.id).repaired) == (0, None), about
        due = {callback.kind for callback in due_in_all(group)}
        expected = {CallbackKind.BEFORE, CallbackKind.FINALLY}
        if group.outcome is GroupOutcome.SUCCEEDED:
            expected.add(CallbackKind.THEN)
        if group.first_failure is not None:
            expected.add(CallbackKind.CATCH)
        assert due == expected, about
        for generation in range(1, group.generation + 1):
            for callback in group.callbacks:
                job_id = callback.job_id("default", group.id, generation)
                job = store.job(job_id)
                assert runs[job_id] <= 1, f"{callback.kind} ran twice; {about}"
                if generation == group.generation:
                    assert (job is not None) == (callback.kind in expected), f"{callback.kind}; {about}"
                if job is not None:
                    assert (job.is_final, job.attempts) == (True, 1), f"{job}; {about}"
                    assert runs[job_id] == 1 or job.state is JobState.FAILURE, f"{job}; {about}"
        if group.parent_id is not None:
            assert store.job(group.id).state is AS_MEMBER[group.outcome], about


def await_closed(yard: Yard, batches) -> None:
    def all_closed() -> bool:
        return all(batch.refresh().closed_at is not None for batch in batches)

    wait_until(all_closed, SECONDS_EACH * len(batches), f"seed {yard.seed}: not all batches were closed")


@pytest.fixture(params=["sqlite", "redis"])
def shop(make_shop, request):
    """A shop on files, or on a server that is broker and store."""
    if request.param == "sqlite":
        return make_shop()
    server = request.getfixturevalue("redis_server")
    return make_shop(store_url=server.new_database(), broker_url=server.new_database())


@pytest.mark.timeout(7200)
def test_random_batches_end_with_exactly_the_callbacks_of_their_outcome(shop, request):
    count = request.config.getoption("--random-runs") or USUAL
    seed = random.randrange(1_000_000)
    dice, yard = random.Random(seed), Yard(shop, seed)
    plans = [random_plan(dice, f"b{n}") for n in range(count)]
    with shop.worker("-c", "2"), shop.worker("-c", "2") as victim:
        batches = []
        for number, plan in enumerate(plans):
            batch = yard.pending(plan).dispatch()
            batches.append(batch)
            if plan.cancelled:
                batch.cancel()
            if plan.added:
                with suppress(GroupCompleted, GroupCancelled):
                    batch.add([shop.task("add").s(n, n) for n in range(plan.added)])
            if number == count // 2:
                victim.kill_whole()
        await_closed(yard, batches)
        was_killed = {job.group_id for job in lost_jobs(shop)}
        for plan, batch in zip(plans, batches, strict=True):
            ids = {each.id for each in yard.all_below(batch)}
            if not plan.may_fail and not plan.is_cancelled and not ids & was_killed:
                assert batch.outcome is GroupOutcome.SUCCEEDED, f"seed {seed}: {batch.record}"
        shop.let_go("mended")
        again = [batch for plan, batch in zip(plans, batches, strict=True) if plan.retried]
        for batch in again:
            batch.retry_failed()
        await_closed(yard, batches)
        for batch in again:
            if batch.outcome is GroupOutcome.FAILED:
                assert batch.status().failed + batch.status().revoked > 0
    runs = yard.runs()
    for batch in batches:
        for each in yard.all_below(batch):
            yard.check(each, runs)


def lost_jobs(shop):
    """Members that were running when the worker was killed."""
    cursor = None
    while True:
        page = shop.jobtrack.inspect.jobs(state="FAILURE", limit=1000, cursor=cursor)
        yield from (job for job in page.items if str(job.reason) == "worker_lost" and job.group_id)
        cursor = page.cursor
        if cursor is None:
            return
