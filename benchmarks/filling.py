"""Fills a store with finished jobs in groups, by many processes at once.

Through the contract: each job is enqueued, started and finished by the very calls that tracking makes.
In bulk (SQL only): the same calls are made on a store in memory, and the rows that it has then are written
by the maps that the SQL store itself uses, thousands in one statement. The rows are the same; what the
contract's way has beside them are the versions of rows that updates leave behind, until a vacuum.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import steps
from benchmarks.stores import opened
from celery_jobtrack.strategies.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.model.requests import Origin
    from celery_jobtrack.strategies.contract import Store

QUEUES = ("celery", "high", "low")
TASKS = 20
FAILS_EVERY = 100
TAGGED_EVERY = 100
RARE = "rare"
"""A task, a queue and a tag that few jobs have."""
RARE_JOBS = 10
GROUPS_AT_ONCE = 50
"""How many groups go through memory before their rows are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many jobs in how many groups, and by which way."""

    jobs: int
    groups: int
    processes: int
    bulk: bool

    def groups_of(self, part: int) -> range:
        return range(part, self.groups, self.processes)

    def members(self, group: int) -> range:
        """The numbers of a group's jobs."""
        return range(group, self.jobs, self.groups)

    def is_rare(self, job: int) -> bool:
        return job % max(1, self.jobs // RARE_JOBS) == 0


def fill(url: str, plan: Plan) -> None:
    """Fill a store.

    Args:
        url: Of a store that other processes can open.
        plan: What it shall hold.
    """
    with opened(url):  # the tables are made once, before many want them
        pass
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(plan.processes, mp_context=context) as pool:
        parts = [pool.submit(_fill_part, url, plan, part) for part in range(plan.processes)]
        for part in parts:
            part.result()


def _fill_part(url: str, plan: Plan, part: int) -> None:
    with opened(url) as store:
        if not plan.bulk:
            _register(store)
            for group in plan.groups_of(part):
                _live(store, plan, group)
            return
        from benchmarks.bulk import copy

        groups = plan.groups_of(part)
        for begin in range(0, len(groups), GROUPS_AT_ONCE):
            memory = MemoryStore()
            memory.delivers = lambda: True
            for group in groups[begin : begin + GROUPS_AT_ONCE]:
                _live(memory, plan, group)
            copy(memory, store)


def _register(store: Store) -> None:
    store.register_worker(steps.WORKER, 3600.0)


def _live(store: Store, plan: Plan, number: int) -> None:
    """The whole life of one group: created, filled, run, completed, its events delivered."""
    group = store.create_group(steps.new_group(f"group {number}"))
    jobs = list(_jobs(plan, number, group.id))
    for request in steps.enqueue_requests([origin for _, origin in jobs]):
        store.enqueue(request)
    starts = steps.start_requests([origin for _, origin in jobs])
    for (job, _), start in zip(jobs, starts, strict=True):
        steps.deliver(store, store.start(start).events)
        fails = job % FAILS_EVERY == FAILS_EVERY - 1
        steps.deliver(store, store.finish(steps.finish_request(start, succeeds=not fails)).events)


def _jobs(plan: Plan, group: int, group_id: str) -> Iterator[tuple[int, Origin]]:
    members = plan.members(group)
    for job, origin in zip(members, steps.origins(len(members), group_id=group_id), strict=True):
        if plan.is_rare(job):
            yield job, replace(origin, task=RARE, queue=RARE, tags=(RARE,))
            continue
        tags = ("tagged",) if job % TAGGED_EVERY == 1 else ()
        yield (
            job,
            replace(origin, task=f"shop.task_{job % TASKS}", queue=QUEUES[job % len(QUEUES)], tags=tags),
        )
