"""What one job of a chunk costs that is recorded with ``enqueue_many``."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import steps
from benchmarks.clock import cost_of
from benchmarks.stores import NAMES, NoSuchStoreError, locate, opened

if TYPE_CHECKING:
    import argparse

    from benchmarks.servers import Servers

CHUNK = 500
CHUNKS = 10
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "two tags": {"tags": ("a", "b")}}


def measure(options: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Rounds of all kinds in turn; the median of the rounds, in microseconds for each job."""
    found: dict[str, Any] = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as folder:
            try:
                url, server = locate(name, servers, Path(folder))
            except NoSuchStoreError as reason:
                print(f"skipped: {name}: {reason}", file=sys.stderr)
                continue
            pid = None if server is None else server.pid
            measured: dict[str, list[dict[str, float]]] = {}
            with opened(url) as store:
                group = store.create_group(steps.new_group("benchmark"))
                for _ in range(options.rounds):
                    for kind, more in KINDS.items():
                        chunks = [
                            steps.enqueue_requests(steps.origins(CHUNK, group_id=group.id, **more))
                            for _ in range(CHUNKS)
                        ]
                        for what in (kind, f"{kind}, known already"):
                            cost = cost_of(store.enqueue_many, chunks, server=pid).dump()
                            each = {name: took / CHUNK for name, took in cost.items()}
                            measured.setdefault(what, []).append(each)
            found[name] = {
                what: {
                    quantity: round(statistics.median(each[quantity] for each in rounds), 1)
                    for quantity in rounds[0]
                }
                for what, rounds in measured.items()
            }
    return found


def rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table's columns and lines."""
    return ["store", f"chunks of {CHUNK}", "µs/job", "CPU here", "CPU of the server"], [
        [store, what, *(f"{took[quantity]:.0f}" for quantity in ("wall", "cpu", "server"))]
        for store, kinds in found.items()
        for what, took in kinds.items()
    ]
