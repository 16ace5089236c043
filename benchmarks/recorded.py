"""How many jobs a variant has recorded: what records nothing is cheap, and no peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.worker import BrokenRunError

if TYPE_CHECKING:
    from benchmarks.case import Case


def check(case: Case, jobs: int) -> None:
    """See that all jobs are recorded as successful, where anything is recorded at all.

    Raises:
        BrokenRunError: Some are not.
    """
    backend = case.conf.get("result_backend", "")
    if case.tracked:
        found = _in_store(case.conf["jobtrack_strategy"])
    elif backend.startswith("redis://"):
        found = _in_redis(backend)
    elif backend.startswith("db+"):
        found = _in_table(backend.removeprefix("db+"), "celery_taskmeta")
    elif case.django is not None:
        found = _in_table(case.django, "django_celery_results_taskresult")
    else:
        return
    if found != jobs:
        raise BrokenRunError(f"{found} of {jobs} jobs are recorded as successful")


def _in_store(url: str) -> int:
    from celery_jobtrack.model.state import JobState
    from celery_jobtrack.strategies.resolve import resolve

    store = resolve(url, {}, namespace="default").store
    store.open()
    try:
        return store.counts().get(JobState.SUCCESS, 0)
    finally:
        store.close()


def _in_redis(url: str) -> int:
    import redis

    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter("celery-task-meta-*", count=1000))
        return sum(b'"SUCCESS"' in value for value in client.mget(keys))


def _in_table(url: str, table: str) -> int:
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            count = connection.scalar(text(f"SELECT count(*) FROM {table} WHERE status = 'SUCCESS'"))
            return int(count or 0)
    finally:
        engine.dispose()
