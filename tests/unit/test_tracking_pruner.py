"""Old jobs, groups and workers go, in chunks, and nothing else does."""

from __future__ import annotations

from itertools import count

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.lock import Claim
from celery_jobtrack.model.requests import Worker
from celery_jobtrack.model.retention import Retention, Retentions
from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.pruner import Pruned, Pruner
from tests.unit.tracking_fixtures import WORKER, World

HOUR = 3600.0


@pytest.fixture
def world():
    made = World()
    made.store.heartbeat(WORKER, 1e8)
    made.ports.kept = Retentions(
        default=Retention(success=HOUR, failure=3 * HOUR, revoked=2 * HOUR, skipped=None, group=HOUR)
    )
    return made


def ended(world, job_id, outcome=Outcome.SUCCESS, **origin):
    world.enqueue(job_id, **origin)
    world.finish(world.start(job_id, **origin), outcome)


def exist(world, *job_ids):
    return [job_id for job_id in job_ids if world.store.job(job_id) is not None]


def test_prune_goes_by_state(world):
    pruner = Pruner(world.tracker)
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED):
        ended(world, outcome.value, outcome)
    names = [
        outcome.value for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.REVOKED, Outcome.SKIPPED)
    ]
    remaining = []
    for _ in range(4):
        pruner.tick()
        remaining.append(exist(world, *names))
        world.clock.advance(HOUR + 1)
    assert remaining == [names, names[1:], [names[1], names[3]], [names[3]]]


def test_prune_goes_by_task(world):
    usual = world.ports.kept.default
    world.ports.kept = Retentions(
        default=usual, tasks={"kept": Retention(success=None), "short": Retention(success=10.0)}
    )
    for task in ("kept", "short", "t"):
        world.enqueue(task, task=task)
        world.run(task)
    world.clock.advance(11)
    assert Pruner(world.tracker).tick() == 1
    assert exist(world, "kept", "short", "t") == ["kept", "t"]
    world.clock.advance(30 * 24 * HOUR)
    list(Pruner(world.tracker).prune())
    assert exist(world, "kept", "short", "t") == ["kept"]


def test_prune_leaves_what_has_not_ended(world):
    world.enqueue("queued")
    world.enqueue("running")
    world.start("running")
    world.clock.advance(1000 * HOUR)
    assert list(Pruner(world.tracker).prune(older_than=0)) == []
    assert exist(world, "queued", "running") == ["queued", "running"]


def test_prune_takes_a_group_only_when_its_events_were_delivered(world):
    world.ports.delivers = False
    world.group()
    ended(world, "a", group_id="g")
    world.clock.advance(10 * HOUR)
    assert list(Pruner(world.tracker).prune()) == []
    assert exist(world, "a") == ["a"]
    assert world.tracker.delivery.deliver_due() == 2
    pruned = list(Pruner(world.tracker).prune())
    assert pruned == [Pruned(jobs=1), Pruned(groups=1)]
    assert world.store.group("g") is None


def test_prune_leaves_the_group_of_a_member_that_is_kept(world):
    world.group()
    ended(world, "a", Outcome.SKIPPED, group_id="g")
    world.clock.advance(1000 * HOUR)
    list(Pruner(world.tracker).prune())
    assert exist(world, "a") == ["a"]
    assert world.store.group("g") is not None


def test_prune_leaves_groups_when_they_are_kept_for_ever(world):
    world.ports.kept = Retentions(default=Retention(group=None))
    world.group()
    ended(world, "a", group_id="g")
    world.clock.advance(1000 * HOUR)
    assert [chunk for chunk in Pruner(world.tracker).prune() if chunk.groups] == []
    assert world.store.group("g") is not None


def test_prune_keeps_workers_as_long_as_the_jobs_that_they_ran(world):
    gone = Worker(id="gone", name="celery@gone", pid=7)
    world.store.register_worker(gone, 45)
    world.store.stop_worker("gone")
    world.clock.advance(2 * HOUR)
    assert list(Pruner(world.tracker).prune()) == []
    world.clock.advance(2 * HOUR)
    assert list(Pruner(world.tracker).prune()) == [Pruned(workers=1)]
    assert [worker.id for worker in world.store.workers(alive=False)] == [WORKER.id]


def test_prune_by_age_holds_for_every_task_and_state(world):
    world.ports.kept = Retentions(tasks={"t": Retention.alike(1e6)})
    ended(world, "a")
    ended(world, "b", Outcome.FAILURE)
    world.clock.advance(10)
    assert sum(chunk.jobs for chunk in Pruner(world.tracker).prune(older_than=5)) == 2


def test_prune_by_state_leaves_groups_and_workers(world):
    world.group()
    ended(world, "a", group_id="g")
    ended(world, "b", Outcome.FAILURE)
    world.clock.advance(100 * HOUR)
    pruned = list(Pruner(world.tracker).prune(older_than=0, states=[JobState.SUCCESS]))
    assert pruned == [Pruned(jobs=1)]
    assert world.store.group("g") is not None


def test_tick_looks_once_a_minute(world):
    pruner = Pruner(world.tracker)
    assert pruner.tick() == 0
    ended(world, "a")
    world.ports.kept = Retentions(default=Retention.alike(1.0))
    world.clock.advance(50)
    assert pruner.tick() == 0
    world.clock.advance(11)
    assert pruner.tick() == 1


def test_tick_is_short_and_the_next_one_goes_on(world):
    for number in range(5):
        ended(world, f"s{number}")
        ended(world, f"f{number}", Outcome.FAILURE)
    world.clock.advance(3 * HOUR + 1)
    spent = iter([0.0, 0.4, 0.8, 1.2])
    pruner = Pruner(world.tracker, chunk=2, clock=lambda: next(spent))
    # Failures, revoked and successes in turn; skipped ones are kept for ever.
    assert pruner.tick() == 4
    assert len(exist(world, *(f"s{n}" for n in range(5)))) == 3
    assert len(exist(world, *(f"f{n}" for n in range(5)))) == 3
    pruner = Pruner(world.tracker, chunk=2)
    assert pruner.tick() == 6


def test_tick_waits_longer_after_long_looks_in_vain(world):
    passed = count(0.0, 0.5)
    pruner = Pruner(world.tracker, clock=lambda: next(passed))
    ended(world, "a")
    world.clock.advance(HOUR + 1)
    assert [pruner.tick() for _ in range(4)] == [0, 1, 0, 0]
    ended(world, "b")
    world.ports.kept = Retentions(default=Retention.alike(1.0))
    # Six looks of half a second each found nothing.
    world.clock.advance(299)
    assert [pruner.tick() for _ in range(4)] == [0, 0, 0, 0]
    world.clock.advance(2)
    assert sum(pruner.tick() for _ in range(4)) >= 1


def test_tick_deletes_keys_at_which_nobody_has_stood_for_an_hour(world):
    claims = (Claim(key="overlap:shop.report:11"),)
    steps.start(world.store, "a", "ta", claims=claims)
    world.clock.advance(HOUR + 1)
    assert [Pruner(world.tracker).tick(), len(world.store.locks(10).items)] == [0, 1]
    steps.finish(world.store, "a", "ta", claims=claims)
    world.clock.advance(HOUR + 1)
    Pruner(world.tracker).tick()
    assert world.store.locks(10).items == ()


def test_tick_takes_at_most_a_chunk_in_one_transaction(world, monkeypatch):
    limits = []
    prune_jobs = world.store.prune_jobs

    def watched(state, before, limit, **tasks):
        limits.append(limit)
        return prune_jobs(state, before, limit, **tasks)

    monkeypatch.setattr(world.store, "prune_jobs", watched)
    for number in range(7):
        ended(world, f"s{number}")
    world.clock.advance(2 * HOUR)
    assert Pruner(world.tracker, chunk=3).tick() == 7
    assert set(limits) == {3}


def test_checker_prunes_and_counts(world):
    ended(world, "a")
    world.clock.advance(2 * HOUR)
    tick = world.checker.tick()
    assert (tick.pruned, tick.failed) == (1, ())
    assert exist(world, "a") == []


def test_checker_does_the_rest_when_pruning_fails(world, monkeypatch, caplog):
    monkeypatch.setattr(world.store, "prune_jobs", lambda *_, **__: 1 / 0)
    assert world.checker.tick().failed == ("delete what is old",)


def test_checker_stops_when_the_store_is_away_while_pruning(world, monkeypatch):
    def away(*_, **__):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(world.store, "prune_jobs", away)
    with pytest.raises(StoreUnavailable):
        world.checker.tick()
