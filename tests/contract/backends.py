"""The stores of the package as the tests open them: empty, and on a clock that tests move."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import func, select

from celery_jobtrack.strategies.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from celery_jobtrack.strategies.row import RowStore
    from celery_jobtrack.testing import Clock

NAMES = ["memory", "memory-frozen", "sqlite", "postgresql", "mariadb"]


class Backend(Protocol):
    name: str

    def fresh(self, clock: Clock) -> contextmanager[RowStore]: ...

    def remains(self, store: RowStore) -> dict[str, int]:
        """What a store holds, by the name of the place, except for its version and its leases."""


class MemoryBackend:
    name = "memory"

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        yield MemoryStore(clock=clock.time)

    def remains(self, store: RowStore) -> dict[str, int]:
        return _rows_in_memory(store)


class FrozenMemoryBackend:
    """Whatever happens between two moves of the clock has one and the same time."""

    name = "memory-frozen"

    @contextmanager
    def fresh(self, clock: Clock) -> Iterator[RowStore]:
        begin = clock.time()
        yield MemoryStore(clock=lambda: begin + clock.offset())

    def remains(self, store: RowStore) -> dict[str, int]:
        return _rows_in_memory(store)


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


def _rows_in_memory(store: RowStore) -> dict[str, int]:
    tables = {name: rows for name, rows in vars(store._tables).items() if isinstance(rows, dict)}
    return {name: len(rows) for name, rows in tables.items() if rows and name != "leases"}
