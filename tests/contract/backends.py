"""The stores of the package as the tests open them: empty, and on a clock that tests move."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import func, select

from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.strategies.redis.ids import pack_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.strategies.row import RowStore
    from celery_jobtrack.testing import Clock

ROW_NAMES = ["memory", "memory-frozen", "sqlite", "postgresql", "mariadb"]
"""Those whose transactions a test can hold, or make fail: a script in Redis has no inside."""
NAMES = [*ROW_NAMES, "redis", "redis-cluster"]


CONSTANT_KEYS = {"", "l", "q"}
"""Kinds of which a namespace has one, whatever it holds: its counters, leases, and queues."""


class Backend(Protocol):
    name: str

    def fresh(self, clock: Clock) -> contextmanager[Store]: ...

    def remains(self, store: RowStore) -> dict[str, int]:
        """What a store holds, by the name of the place, except for its version and its leases."""

    def drop_job(self, store: Store, job_id: str) -> None:
        """Take a job's record away, as somebody's hand would."""


class MemoryBackend:
    name = "memory"

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        yield MemoryStore(clock=clock.time)

    def remains(self, store: RowStore) -> dict[str, int]:
        return _rows_in_memory(store)

    def drop_job(self, store: RowStore, job_id: str) -> None:
        del store._tables.jobs[job_id]


class FrozenMemoryBackend(MemoryBackend):
    """Whatever happens between two moves of the clock has one and the same time."""

    name = "memory-frozen"

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        begin = clock.time()
        yield MemoryStore(clock=lambda: begin + clock.offset())


class SqlBackend:
    """One database for all tests; what a test left in it is deleted before the next."""

    def __init__(self, name: str, url: str) -> None:
        from celery_jobtrack.strategies.sql import SqlStore

        self.name = name
        self._url = url
        self._make = SqlStore
        self._cleaner = SqlStore(url)

    def __enter__(self) -> Self:
        self._cleaner.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleaner.close()

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        with self._cleaner._engine.begin() as connection:
            for table in self._cleaner._schema.metadata.sorted_tables:
                connection.execute(table.delete())
        store = self._make(self._url, clock_offset=clock.offset)
        store.open()
        try:
            yield store
        finally:
            store.close()

    def remains(self, store: RowStore) -> dict[str, int]:
        tables = store._schema.metadata.sorted_tables
        with store._engine.connect() as connection:
            counts = {
                table.name: connection.scalar(select(func.count()).select_from(table))
                for table in tables
                if table is not store._schema.leases
            }
        return {name: count for name, count in counts.items() if count}

    def drop_job(self, store: RowStore, job_id: str) -> None:
        jobs = store._schema.jobs
        with store._engine.begin() as connection:
            assert connection.execute(jobs.delete().where(jobs.c.id == job_id)).rowcount == 1


class RedisBackend:
    """One namespace for all tests; what a test left is deleted before the next."""

    def __init__(
        self, name: str, url: str, *, empty: Callable[[], object], keys: Callable[[], Iterable[bytes]]
    ) -> None:
        self.name = name
        self._url = url
        self._empty = empty
        self._keys = keys

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[Store]:
        from celery_jobtrack.strategies.redis import RedisStore

        self._empty()
        store = RedisStore(self._url, clock_offset=clock.offset)
        store.open()
        try:
            yield store
        finally:
            store.close()

    def remains(self, store: Store) -> dict[str, int]:
        """Keys by their kind: what stands behind the root of the namespace, up to the first colon."""
        kinds = Counter(key.decode().partition("}:")[2].partition(":")[0] for key in self._keys())
        return {kind: count for kind, count in kinds.items() if kind not in CONSTANT_KEYS}

    def drop_job(self, store: Store, job_id: str) -> None:
        key = b"{jobtrack:default}:j:" + pack_id(job_id)
        assert store._wire.send(b"*2\r\n$3\r\nDEL\r\n$%d\r\n%b\r\n" % (len(key), key)) == 1


def _rows_in_memory(store: RowStore) -> dict[str, int]:
    tables = {name: rows for name, rows in vars(store._tables).items() if isinstance(rows, dict)}
    return {name: len(rows) for name, rows in tables.items() if rows and name != "leases"}
