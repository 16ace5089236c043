"""``profile``: where the CPU of one job goes, in a worker without pool children."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.servers import Servers
from benchmarks.variants import BARE, VARIANTS
from benchmarks.worker import BrokenRunError, produce

if TYPE_CHECKING:
    import argparse

    from benchmarks.variants import Variant

HOW = ("total", "pieces", "functions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variant", default="jobtrack-postgresql", choices=sorted(VARIANTS))
    parser.add_argument("--how", nargs="+", default=HOW, choices=HOW, help="by default all three")
    parser.add_argument("--jobs", type=int, default=2000, metavar="N")
    parser.add_argument("--warm-up", type=int, default=400, metavar="N")


def run(options: argparse.Namespace) -> None:
    """Print where the time goes; nothing is kept.

    Raises:
        BrokenRunError: The worker failed.
        ServerMissingError: A server that the variant needs is not installed.
    """
    with Servers() as servers:
        for name, how in [(BARE, "total"), *((options.variant, how) for how in options.how)]:
            print(f"\n{name}, {how}")
            print(_look(VARIANTS[name], servers, how, options.warm_up, options.jobs))


def _look(variant: Variant, servers: Servers, how: str, warm_up: int, jobs: int) -> str:
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as name:
        url = "" if variant.server is None else servers[variant.server].new_database()
        broker = servers["broker"].new_database()
        case = variant.case(broker=broker, url=url, folder=Path(name))
        produce(case, warm_up, jobs)
        command = [sys.executable, "-m", "benchmarks.solo", how, str(warm_up), str(jobs)]
        try:
            done = subprocess.run(
                command, env=case.environment(), capture_output=True, text=True, check=False, timeout=300
            )
        except subprocess.TimeoutExpired as error:
            raise BrokenRunError(f"the worker did not run {jobs} jobs in {error.timeout:g} s") from None
    if done.returncode != 0:
        raise BrokenRunError(f"the worker failed:\n{done.stderr[-2000:]}")
    return done.stdout.rstrip()
