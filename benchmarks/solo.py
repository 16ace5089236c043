"""Runs a case's jobs in this very process, looked at: ``python -m benchmarks.solo HOW WARM_UP JOBS``.

HOW is ``total`` (only the sum), ``pieces`` (named functions, see ``pieces.py``) or ``functions`` (all, by
cProfile, which makes small calls look dear). Prints text.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import re
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.worker import state

from benchmarks.app import MEASURED, WARM_UP, make_app
from benchmarks.case import Case
from benchmarks.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = 45
PACKAGES = (
    re.compile(r"site-packages/([^/]+)/"),
    re.compile(r"/(celery_jobtrack/\w+|benchmarks)\b"),
    re.compile(r"/lib/python[\d.]+/(\w+)"),
)


class Watch:
    """Begins with the first measured job and ends the worker after the last."""

    def __init__(self, how: str, warm_up: int, jobs: int) -> None:
        self._profile = cProfile.Profile() if how == "functions" else None
        self._pieces = Pieces() if how == "pieces" else None
        self._warm_up, self._jobs = warm_up, jobs
        self._ended = 0
        self._began = 0.0
        self.cpu = 0.0
        self.worker: Any = None
        if self._pieces is not None:
            self._pieces.install()

    def on_end(self, **_: Any) -> None:
        self._ended += 1
        if self._ended == self._warm_up:
            self.worker.consumer.add_task_queue(MEASURED)
            if self._pieces is not None:
                self._pieces.reset()
            self._began = time.process_time()
            if self._profile is not None:
                self._profile.enable()
        elif self._ended == self._warm_up + self._jobs:
            if self._profile is not None:
                self._profile.disable()
            self.cpu = time.process_time() - self._began
            state.should_stop = 0

    def lines(self) -> Iterator[str]:
        yield f"{self.cpu / self._jobs * 1e6:8.1f} µs of CPU for each job, in one process"
        if self._pieces is not None:
            yield from self._pieces.lines(self._jobs)
        if self._profile is not None:
            yield from _functions(self._profile, self._jobs)


def _functions(profile: cProfile.Profile, jobs: int) -> Iterator[str]:
    stats = pstats.Stats(profile, stream=io.StringIO())
    packages: Counter[str] = Counter()
    rows = []
    for (file, line, name), (_, calls, own, whole, _) in stats.stats.items():  # type: ignore[attr-defined]
        where = _package(file)
        packages[where] += own
        rows.append((own, whole, calls, f"{where} {name}:{line}"))
    yield "own time by package, as the profiler sees it:"
    for where, own in packages.most_common(14):
        yield f"{own / jobs * 1e6:8.1f} µs  {where}"
    yield "own time, whole time and calls of functions:"
    for own, whole, calls, shown in sorted(rows, reverse=True)[:SHOWN]:
        yield f"{own / jobs * 1e6:8.1f} µs {whole / jobs * 1e6:8.1f} µs {calls / jobs:6.2f} x  {shown}"


def _package(file: str) -> str:
    for package in PACKAGES:
        found = package.search(file)
        if found is not None:
            return found[1]
    return "built in"


def main() -> None:
    how, warm_up, jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    app = make_app(Case.here())
    watch = Watch(how, warm_up, jobs)
    # The watch's receiver is the last one, so that what the others do for a job is over.
    app.finalize()
    signals.task_postrun.connect(watch.on_end)
    watch.worker = app.Worker(
        pool="solo", queues=[WARM_UP], loglevel="WARNING", quiet=True, hostname="solo@benchmarks"
    )
    watch.worker.start()
    # A worker redirects sys.stdout into its log.
    print("\n".join(watch.lines()), file=sys.__stdout__)


if __name__ == "__main__":
    main()
