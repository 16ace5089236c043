"""``scale``: a store with a million finished jobs: its size, and how long it takes to answer."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import results, steps
from benchmarks.filling import Plan, fill
from benchmarks.questions import ask_all
from benchmarks.servers import Servers
from benchmarks.size import size
from benchmarks.stores import NoSuchStoreError, locate, opened
from benchmarks.worker import BrokenRunError

if TYPE_CHECKING:
    import argparse

STORES = ("sqlite", "postgresql", "mariadb", "redis")
LONGEST_PAGE = 5.0
LONGEST_TICK = 50.0
"""Milliseconds, on every server."""
LARGEST_JOB = {"redis": 600}
"""Bytes of a finished job with its indexes and its part of a group."""
QUEUED = 1000
"""Jobs that are queued at last, so that the questions for what is not final find something."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", required=True, choices=STORES)
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N", help="finished jobs")
    parser.add_argument("--groups", type=int, default=100_000, metavar="N", help="that they are members of")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="that fill the store")
    parser.add_argument(
        "--through",
        choices=("contract", "bulk"),
        help="how it is filled; by default in bulk where that is possible, see benchmarks/filling.py",
    )
    parser.add_argument("--dry", action="store_true", help="keep no results")


def run(options: argparse.Namespace) -> None:
    """Fill, measure, print, and keep the result.

    Raises:
        BrokenRunError: The store does not hold what it was filled with.
    """
    through = options.through or ("contract" if options.store == "redis" else "bulk")
    plan = Plan(jobs=options.jobs, groups=options.groups, processes=options.processes, bulk=through == "bulk")
    with Servers() as servers, tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as folder:
        try:
            url, _ = locate(options.store, servers, Path(folder))
        except NoSuchStoreError as reason:
            print(f"skipped: {options.store}: {reason}", file=sys.stderr)
            return
        found = _measure(url, plan)
        programs = servers.programs()
    found["limits"] = _judge(options.store, found)
    settings = {"jobs": plan.jobs, "groups": plan.groups, "filled": through}
    document = results.document(settings, found, servers=programs, load=options.load)
    _show(options.store, document)
    if not options.dry:
        results.write(f"scale-{options.store}", document)


def _measure(url: str, plan: Plan) -> dict[str, Any]:
    with opened(url):
        pass
    empty = size(url)
    began = time.monotonic()
    fill(url, plan)
    seconds = time.monotonic() - began
    full = size(url)
    with opened(url) as store:
        if sum(store.counts().values()) != plan.jobs:
            raise BrokenRunError(f"the store holds {dict(store.counts())} instead of {plan.jobs} jobs")
        for request in steps.enqueue_requests(steps.origins(QUEUED)):
            store.enqueue(request)
    return {
        "filled_in_seconds": round(seconds, 1),
        "bytes": full - empty,
        "bytes_per_job": round((full - empty) / plan.jobs, 1),
        "milliseconds": ask_all(url),
    }


def _judge(store: str, found: dict[str, Any]) -> dict[str, bool]:
    """Which limits hold. Pages and status have one limit, the tick another; counts have none."""
    took = {name: figures["median"] for name, figures in found["milliseconds"].items()}
    pages = [took[name] for name in took if name.startswith("jobs") or name == "groups.get().status()"]
    limits = {
        f"pages and status <= {LONGEST_PAGE:g} ms": max(pages) <= LONGEST_PAGE,
        f"tick <= {LONGEST_TICK:g} ms": took["checker tick"] <= LONGEST_TICK,
    }
    if store in LARGEST_JOB:
        limits[f"<= {LARGEST_JOB[store]} bytes per job"] = found["bytes_per_job"] <= LARGEST_JOB[store]
    return limits


def _show(store: str, document: dict[str, Any]) -> None:
    settings = document["settings"]
    title = (
        f"{store}: {settings['jobs']} jobs in {settings['groups']} groups, filled by {settings['filled']} "
        f"in {document['filled_in_seconds']:.0f} s: {document['bytes_per_job']:.0f} bytes per job"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("question")
    table.add_column("ms, median of 20", justify="right")
    table.add_column("worst", justify="right")
    for name, took in document["milliseconds"].items():
        table.add_row(name, f"{took['median']:.2f}", f"{took['worst']:.2f}")
    console = Console(width=120)
    console.print(table)
    for limit, holds in document["limits"].items():
        console.print(f"{limit}: {'holds' if holds else 'does not hold'}")
