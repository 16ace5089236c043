"""What the status of a large group takes, whatever its members do."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from benchmarks import steps
from benchmarks.clock import milliseconds
from benchmarks.stores import NoSuchStoreError, locate, opened
from benchmarks.worker import BrokenRunError
from celery_jobtrack.model.requests import RetryRequest
from celery_jobtrack.model.state import JobState, Outcome
from celery_jobtrack.strategies.sql import SqlStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.servers import Servers
    from celery_jobtrack.model.requests import StartRequest
    from celery_jobtrack.strategies.contract import Store

STORES = ("sqlite", "postgresql", "mariadb", "redis")
LIMITS = {"redis": 1.0, "postgresql": 3.0}
"""Milliseconds."""
CHUNK = 500
ASKED = 200
STARTED = 0.1
"""Of the members."""


def measure(options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """For a small group and a large one, in each store."""
    found: dict[str, Any] = {}
    for name in options.stores or STORES:
        with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as folder:
            try:
                url, _ = locate(name, servers, Path(folder))
            except NoSuchStoreError as reason:
                print(f"skipped: {name}: {reason}", file=sys.stderr)
                continue
            with opened(url) as store:
                found[name] = {str(n): _answers(store, n) for n in (options.members // 100, options.members)}
        print(f"{name}: {found[name]}", file=sys.stderr)
    return found


def _answers(store: Store, members: int) -> dict[str, Any]:
    group = store.create_group(steps.new_group("benchmark"))
    requests = steps.enqueue_requests(steps.origins(members, group_id=group.id))
    began = time.perf_counter()
    for chunk in _chunks(requests):
        store.enqueue_many(chunk)
    answers: dict[str, Any] = {"enqueue_many µs/job": round((time.perf_counter() - began) / members * 1e6, 1)}

    def ask(when: str, **expected: int) -> None:
        first = time.perf_counter()
        status = store.group_status(group.id)
        first = time.perf_counter() - first
        for name, number in expected.items():
            if getattr(status, name) != number:
                raise BrokenRunError(f"{when}: {name} is {getattr(status, name)}, and should be {number}")
        asked = milliseconds(lambda: store.group_status(group.id), times=ASKED)
        answers[when] = {"first": round(first * 1e3, 3), **asked}

    ask("queued", enqueued=members)
    part = int(members * STARTED)
    starts = steps.start_requests([request.origin for request in requests])
    _start(store, starts[:part])
    ask(f"{part} started", started=part)
    _retry(store, starts[:part])
    ask(f"{part} wait for a retry", retrying=part)
    if isinstance(store, SqlStore):
        _put(store, group.id, JobState.RETRY)
        ask("all wait for a retry", retrying=members)
        _put(store, group.id, JobState.WAITING)
        ask("all are parked", waiting=members)
        _put(store, group.id, JobState.SUCCESS, every=2)
        ask("half have succeeded, the others are parked", succeeded=members // 2, waiting=members // 2)
    else:
        _start(store, starts[part:])
        _retry(store, starts[part:])
        ask("all wait for a retry", retrying=members)
        again = steps.start_requests([replace(start.origin, retries=1) for start in starts[: members // 2]])
        _start(store, again)
        for start in again:
            store.finish(steps.finish_request(start))
        ask("half have succeeded, the others wait for a retry", succeeded=members // 2)
    return answers


def _put(store: SqlStore, group_id: str, state: JobState, *, every: int = 1) -> None:
    """Put members into a state directly, as their transitions would take long; then recount them."""
    jobs, engine = store._schema.jobs, store._engine  # noqa: SLF001
    members = jobs.c.group_id == group_id
    with engine.connect() as connection:
        first, last = connection.execute(
            select(func.min(jobs.c.seq), func.max(jobs.c.seq)).where(members)
        ).one()
    for begin in range(first, last + 1, 10 * CHUNK):
        these = jobs.c.seq.between(begin, begin + 10 * CHUNK - 1), jobs.c.seq % every == 0
        with engine.begin() as connection:
            connection.execute(update(jobs).where(members, *these).values(state=state))
    store.recompute_group(group_id)


def _retry(store: Store, starts: Sequence[StartRequest]) -> None:
    for start in starts:
        origin = replace(start.origin, retries=1)
        store.retry(RetryRequest(start=start, origin=origin, outcome=Outcome.RETRY))


def _start(store: Store, starts: Sequence[StartRequest]) -> None:
    for start in starts:
        store.start(start)


def _chunks(requests: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(requests), CHUNK):
        yield requests[first : first + CHUNK]


def rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table's columns and lines."""
    lines = []
    for store, sizes in found.items():
        limit = f", limit {LIMITS[store]:g}" if store in LIMITS else ""
        for members, answers in sizes.items():
            for when, took in answers.items():
                if isinstance(took, dict):
                    first, median, worst = (f"{took[name]:.2f}" for name in ("first", "median", "worst"))
                    lines.append([f"{store}{limit}", members, when, first, median, worst])
    return ["store", "members", "of them", "first ms", "median ms", "worst ms"], lines
