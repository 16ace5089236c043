"""Times named functions where they are called, nested as they call each other.

A profiler that sees every call makes many small calls look dear; this sees only those that are named,
at about a microsecond for each call of them.
"""

from __future__ import annotations

import functools
import threading
from importlib import import_module
from time import thread_time_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMED = (
    # Each where it is looked up: in the module that imported it.
    "celery_jobtrack.integration.task:admit",
    "celery_jobtrack.integration.signals:conclude",
    "celery_jobtrack.integration.admission:_ask",
    "celery_jobtrack.integration.admission:_write_started",
    "celery_jobtrack.integration.admission:_ending",
    "celery_jobtrack.integration.header:Header.of_request",
    "celery_jobtrack.integration.admission:origin_of_request",
    "celery_jobtrack.integration.origin:show",
    "celery_jobtrack.integration.runtime:Runtime.tracks",
    "celery_jobtrack.integration.runtime:Runtime.worker",
    "celery_jobtrack.tracking.tracker:Tracker.start",
    "celery_jobtrack.tracking.tracker:Tracker.finish",
    "celery_jobtrack.tracking.announce:Announcer.announce",
    "celery_jobtrack.strategies.row.jobs:JobTransitions.start",
    "celery_jobtrack.strategies.row.jobs:JobTransitions.finish",
    "celery_jobtrack.strategies.memory.store:MemoryStore.transaction",
    "celery_jobtrack.strategies.redis.jobs:JobTransitions.start",
    "celery_jobtrack.strategies.memory.store:MemoryStore.transaction",
    "celery_jobtrack.strategies.redis.jobs:JobTransitions.finish",
    "celery_jobtrack.strategies.redis.wire:Wire.run",
    "celery_jobtrack.strategies.redis.wire:Wire.send",
    "celery_jobtrack.tracking.recorder:Recorder.start",
    "celery_jobtrack.tracking.recorder:Recorder.finish",
    "celery_jobtrack.model.moves:start",
    "celery_jobtrack.model.moves:finish",
    "celery_jobtrack.strategies.sql.records:RecordMap.load",
    "celery_jobtrack.strategies.sql.records:RecordMap.dump",
    "celery_jobtrack.strategies.sql.records:RecordMap.changes",
    "sqlalchemy.engine:Engine.connect",
    "sqlalchemy.engine:Connection.begin",
    "sqlalchemy.engine:Connection.execute",
    "sqlalchemy.engine:Connection.close",
    "sqlalchemy.engine.default:DefaultDialect.do_commit",
    "sqlalchemy.engine.default:DefaultDialect.do_execute",
    "psycopg:Cursor.execute",
    "psycopg:Connection.commit",
)


class Pieces:
    """What each piece used of this thread's CPU, by the pieces that it was called from."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._stack: list[str] = []
        self._found: dict[tuple[str, ...], list[int]] = {}

    def install(self) -> None:
        """Put a timer around each named function that this version has."""
        for named in NAMED:
            module, _, path = named.partition(":")
            *owners, name = path.split(".")
            try:
                owner: Any = import_module(module)
            except ImportError:
                continue
            for each in owners:
                owner = getattr(owner, each, None)
            if owner is None or name not in vars(owner):
                continue
            self._wrap(owner, name, f"{module.rpartition('.')[2]}.{path}")

    def _wrap(self, owner: Any, name: str, shown: str) -> None:
        found = vars(owner)[name]
        if isinstance(found, classmethod):
            setattr(owner, name, classmethod(self._timed(found.__func__, shown)))
        else:
            setattr(owner, name, self._timed(found, shown))

    def _timed(self, call: Callable[..., Any], shown: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:  # heartbeat and checker are no job's
                return call(*args, **kwargs)
            self._stack.append(shown)
            began = thread_time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                took = thread_time_ns() - began
                cost = self._found.setdefault(tuple(self._stack), [0, 0])
                cost[0] += 1
                cost[1] += took
                self._stack.pop()

        return timed

    def reset(self) -> None:
        """Begin anew."""
        self._found.clear()

    def lines(self, jobs: int) -> Iterator[str]:
        """The pieces as an indented list: microseconds and calls for each job, callees included."""
        yield from self._below((), jobs)

    def _below(self, path: tuple[str, ...], jobs: int) -> Iterator[str]:
        inner = [(found, key) for key, found in self._found.items() if key[:-1] == path]
        for (calls, took), key in sorted(inner, reverse=True):
            indent = "  " * len(path)
            yield f"{took / jobs / 1e3:8.1f} µs {calls / jobs:6.2f} x  {indent}{key[-1]}"
            yield from self._below(key, jobs)
