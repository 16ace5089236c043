"""The stores of the package as the tests open them: empty, and on a clock that tests move."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from celery_jobtrack.strategies.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.strategies.row import RowStore
    from celery_jobtrack.testing import Clock

ROW_NAMES = ["memory", "memory-frozen", "sqlite", "postgresql", "mariadb"]
"""Those whose transactions a test can hold, or make fail: a script in Redis has no inside."""
NAMES = [*ROW_NAMES, "redis", "redis-cluster"]


class Backend(Protocol):
    name: str

    def fresh(self, clock: Clock) -> contextmanager[Store]: ...


class MemoryBackend:
    name = "memory"

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        yield MemoryStore(clock=clock.time)


class FrozenMemoryBackend:
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


class RedisBackend:
    """One namespace for all tests; what a test left is deleted before the next."""

    def __init__(self, name: str, url: str, empty: Callable[[], object]) -> None:
        self.name = name
        self._url = url
        self._empty = empty

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
