"""What the status of a large group takes, whatever its members do."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import steps
from benchmarks.clock import milliseconds
from benchmarks.stores import NoSuchStoreError, locate, opened
from celery_jobtrack.model.requests import RetryRequest
from celery_jobtrack.model.state import Outcome

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
MOVED = 0.02
"""Of the members that start, of those that are retried, and of those that end."""


def measure(options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """For a small group and a large one, in each store."""
    found: dict[str, Any] = {}
    for name in STORES:
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

    def ask(when: str) -> None:
        first = time.perf_counter()
        store.group_status(group.id)
        first = time.perf_counter() - first
        answers[when] = {"first": round(first * 1e3, 3), **milliseconds(lambda: store.group_status(group.id))}

    ask("queued")
    part = max(1, int(members * MOVED))
    starts = steps.start_requests([request.origin for request in requests[: 3 * part]])
    _start(store, starts)
    ask(f"{3 * part} started")
    for start in starts[:part]:
        store.finish(steps.finish_request(start))
    ask(f"{part} ended")
    for start in starts[part : 2 * part]:
        store.retry(RetryRequest(start=start, origin=start.origin, outcome=Outcome.RETRY))
    ask(f"{part} wait for a retry")
    return answers


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
