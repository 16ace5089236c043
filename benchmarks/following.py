"""One measurement: many jobs and one that follows, sent to a worker that is at work meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cpu, recorded
from benchmarks.chord_sender import WARM_UPS
from benchmarks.worker import BrokenRunError, running
from tests.waiting import wait_until

if TYPE_CHECKING:
    from benchmarks.servers import Servers
    from benchmarks.variants import Variant

FOLLOW_SECONDS = 300.0
JOIN_SECONDS = 300.0
FOLLOWERS = 2
"""One of the warm-up, one that is measured."""


def measure(variant: Variant, members: int, servers: Servers) -> dict[str, float]:
    """Measure a variant once: as a batch where it is tracked, else as a chord of Celery's.

    Args:
        variant: With a store, or with a result backend.
        members: How many jobs come before the one that follows.
        servers: Where it finds its broker and its store.

    Returns:
        Seconds of the call that sends, of its CPU, and from its beginning to the one that follows;
        milliseconds from the last member to that; megabytes by which the sender grew meanwhile.

    Raises:
        BrokenRunError: Members are missing, what follows did not run just once, or a process failed.
        ServerMissingError: A server that it needs is not installed.
    """
    broker = servers["broker"].new_database()
    url = servers[str(variant.server)].new_database()
    with tempfile.TemporaryDirectory(prefix="jobtrack-bench-") as name:
        folder = Path(name)
        followed = folder / "followed"
        case = variant.case(broker=broker, url=url, folder=folder)
        case = replace(
            case,
            # By default a chord over SQL fails if reading the members' results takes longer than 3 s.
            conf={**case.conf, "result_chord_join_timeout": JOIN_SECONDS},
            followed=str(followed),
        )
        with running(case, folder) as worker:
            command = [sys.executable, "-m", "benchmarks.chord_sender", str(members)]
            done = subprocess.run(
                command, env=case.environment(), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise BrokenRunError(f"the sender of {variant.name} failed:\n{done.stderr[-2000:]}")
            runs = worker.complete(WARM_UPS + members)
            try:
                wait_until(lambda: len(_times(followed)) >= FOLLOWERS, FOLLOW_SECONDS)
            except AssertionError:
                raise BrokenRunError(f"nothing followed on the members of {variant.name}") from None
            cpu.when_idle(worker.pid)
            times = _times(followed)
        if len(times) != FOLLOWERS:
            raise BrokenRunError(f"what follows ran {len(times)} times and not {FOLLOWERS}")
        recorded.check(case, WARM_UPS + members + FOLLOWERS)
    sent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {
        **{name: sent[name] for name in ("dispatch_s", "dispatch_cpu_s", "grown_mb")},
        "end_to_end_s": (times[1] - sent["began_ns"]) / 1e9,
        "follow_ms": (times[1] - runs.last) / 1e6,
    }


def _times(followed: Path) -> list[int]:
    """When the job that follows began, on the monotonic clock in nanoseconds."""
    if not followed.exists():
        return []
    return [int(line) for line in followed.read_text().split("\n")[:-1]]
