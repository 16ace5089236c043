"""What the Redis store costs: bytes per finished job, CPU per call, time of what is asked.

``python -m benchmarks.redis_store [JOBS]`` starts a Redis of its own, records JOBS finished jobs
(200,000 unless told) with the ids, names and messages of real ones, and prints what it saw.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import uuid
from datetime import datetime, timezone

import redis

from celery_jobtrack.model.group import GroupRecord
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    GroupQuery,
    JobQuery,
    Origin,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.strategies.redis import RedisStore
from tests.servers import redis as redis_server

MEMBERS = 100
TIMED = 20_000
SOME_TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)
MESSAGE = b"m" * 400
WORKER = Worker(id=str(uuid.uuid4()), name="celery@worker-1.example.com", pid=os.getpid())


def origin(group_id: str | None) -> Origin:
    job_id = str(uuid.uuid4())
    return Origin(
        job_id=job_id,
        task="shop.tasks.images.resize_one_image",
        queue="celery",
        group_id=group_id,
        root_id=job_id,
    )


def group(store: RedisStore, number: int) -> str:
    group_id = str(uuid.uuid4())
    record = GroupRecord(id=group_id, title=f"Holiday {number}", created_at=SOME_TIME)
    store.create_group(record)
    return group_id


def measured(name: str, calls: int, work) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"  {name:<28} {cpu / calls * 1e6:7.1f} µs CPU  {wall / calls * 1e6:7.1f} µs in all")


def timed_calls(store: RedisStore, group_id: str | None) -> None:
    print(f"per call, {'in a group' if group_id else 'without a group'}, {TIMED} jobs")
    origins = [origin(group_id) for _ in range(TIMED)]
    starts = [StartRequest(origin=one, token=str(uuid.uuid4()), worker=WORKER) for one in origins]
    ends = [FinishRequest(start=one, outcome=Outcome.SUCCESS) for one in starts]
    if group_id:
        store.begin_filling(group_id, "bench", 3600)
    measured(
        "enqueue",
        TIMED,
        lambda: [store.enqueue(EnqueueRequest(origin=one, message=MESSAGE)) for one in origins],
    )
    measured("start", TIMED, lambda: [store.start(one) for one in starts])
    measured("finish", TIMED, lambda: [store.finish(one) for one in ends])
    if group_id:
        store.end_filling(group_id, "bench")


def fill(store: RedisStore, client: redis.Redis, jobs: int) -> str:
    before = client.info("memory")["used_memory"]
    group_id = ""
    for number in range(jobs):
        if number % MEMBERS == 0:
            if group_id:
                store.end_filling(group_id, "bench")
            group_id = group(store, number)
            store.begin_filling(group_id, "bench", 3600)
        one = origin(group_id)
        store.enqueue(EnqueueRequest(origin=one, message=MESSAGE))
        began = StartRequest(origin=one, token=str(uuid.uuid4()), worker=WORKER)
        store.start(began)
        failed = number % 1000 == 999
        store.finish(
            FinishRequest(
                start=began,
                outcome=Outcome.FAILURE if failed else Outcome.SUCCESS,
                reason=Reason.ERROR if failed else None,
            )
        )
    store.end_filling(group_id, "bench")
    while events := list(store.claim_events("bench", limit=1000)):
        while events:
            events += store.acknowledge_event(events.pop().id, "bench")
    used = client.info("memory")["used_memory"] - before
    print(f"{jobs} finished jobs in groups of {MEMBERS}: {used / jobs:.0f} bytes each, all included")
    return group_id


def asked(name: str, ask, *, times: int = 20) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    print(f"  {name:<44} {statistics.median(took):8.2f} ms (longest {max(took):.2f})")


def main(jobs: int) -> None:
    with redis_server.start() as server:
        url = server.new_database()
        client = redis.Redis.from_url(url)
        client.config_set("appendonly", "no")
        store = RedisStore(url)
        store.open()
        store.delivers = lambda: False
        group_id = fill(store, client, jobs)
        timed_calls(store, None)
        timed_calls(store, group(store, 0))
        stats = client.info("commandstats")["cmdstat_evalsha"]
        print(f"server: {stats['usec_per_call']} µs per script over {stats['calls']} scripts")
        print(f"asked of {jobs} jobs")
        asked("jobs, first page", lambda: store.jobs(JobQuery()))
        asked("jobs of a group", lambda: store.jobs(JobQuery(group_id=group_id)))
        asked("jobs that failed", lambda: store.jobs(JobQuery(state=JobState.FAILURE)))
        asked("jobs of a task that is not there", lambda: store.jobs(JobQuery(task="nothing")))
        asked("groups, first page", lambda: store.groups(GroupQuery()))
        asked("group_status", lambda: store.group_status(group_id))
        asked("counts", store.counts)
        asked("overdue_queues", lambda: store.overdue_queues(store.now()))
        large = group(store, 1)
        store.begin_filling(large, "bench", 3600)
        for _ in range(min(jobs, 100_000)):
            store.enqueue(EnqueueRequest(origin=origin(large), message=None))
        asked("recompute_group of 100,000 members", lambda: store.recompute_group(large), times=3)
        asked("prune_jobs, 1,000 at a time", lambda: store.prune_jobs(JobState.SUCCESS, store.now(), 1000))
        slow = client.slowlog_get(5)
        print("slowest scripts:", [entry["duration"] for entry in slow], "µs")
        store.close()
        client.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
