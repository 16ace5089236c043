"""The life of an SQL store: its engine, its transactions, its forks."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.strategies.row.rows import Conflict
from celery_jobtrack.strategies.row.store import RowStore
from celery_jobtrack.strategies.sql.clock import Clock
from celery_jobtrack.strategies.sql.engine import BUSY_SECONDS, make_engine, reading
from celery_jobtrack.strategies.sql.failures import translate
from celery_jobtrack.strategies.sql.forks import ForkGate, watch_forks
from celery_jobtrack.strategies.sql.rows import SqlRows
from celery_jobtrack.strategies.sql.schema import Schema, table_prefix
from celery_jobtrack.strategies.sql.statements import Statements
from celery_jobtrack.strategies.sql.urls import parse_url, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

TRIES = 3

_SNAPSHOT = {
    "sqlite": (),  # a transaction there sees what was committed before its first statement
    "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
    "mysql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
}
"""How a transaction begins that sees one moment throughout."""


class SqlBase(RowStore):
    """Connects, makes transactions, and says in our own words what goes wrong with them."""

    def __init__(
        self, url: str, *, namespace: str = "default", clock_offset: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        self._url = parse_url(url)
        self._schema = Schema(table_prefix(namespace))
        self._dialect = self._url.get_backend_name()
        self._clock = Clock(self._dialect, clock_offset)
        self._sql = Statements(self._schema, self._clock, self._dialect)
        self._engine: Engine = make_engine(self._url)
        self._reader: Engine = reading(self._engine)
        self._gate = ForkGate()
        self._turns = threading.Lock() if self._dialect == "sqlite" else None
        watch_forks(self._gate, self._before_fork, self.after_fork)

    @property
    def url(self) -> str:
        return shown_url(self._url)

    def open(self) -> None:
        from celery_jobtrack.strategies.sql.migrate import ensure

        self._administer(ensure)

    def schema_versions(self) -> tuple[int, int]:
        from celery_jobtrack.strategies.sql.migrate import stored_version
        from celery_jobtrack.strategies.sql.schema import SCHEMA_VERSION

        return self._administer(stored_version) or 0, SCHEMA_VERSION

    def upgrade(self) -> tuple[int, int]:
        """Bring the tables to this code's version; returns the versions before and after.

        Raises:
            SchemaMismatch: The tables are newer than this code.
        """
        from celery_jobtrack.strategies.sql.migrate import upgrade

        return self._administer(upgrade)

    def close(self) -> None:
        self._engine.dispose()

    def after_fork(self) -> None:
        self._engine.dispose(close=False)
        if self._turns is not None:
            self._turns = threading.Lock()
        self.claimant = uuid.uuid4().hex

    def _before_fork(self) -> None:
        # See ForkGate. Connections to servers may stay: a child that lets go of one does not end it.
        if self._dialect == "sqlite":
            self._engine.dispose()

    def now(self) -> datetime:
        read = self._sql.clock
        if read is None:
            return self._clock.moment(None)
        server: int | None = self._answer(lambda connection: connection.scalar(read))
        return self._clock.moment(server)

    @contextmanager
    def transaction(self) -> Iterator[SqlRows]:
        with self._turn(), self._connected(self._engine) as connection, connection.begin():
            rows = SqlRows(connection, self._schema, self._sql, self._clock)
            yield rows
            rows.finish()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The threads of a process write to an SQLite file in turn.

        Otherwise each would ask again and again whether the file is free, as SQLite does, and sleep
        meanwhile: tried with twenty threads, that took nearly four times as long.
        """
        turns = self._turns
        if turns is None:
            yield
            return
        if not turns.acquire(timeout=BUSY_SECONDS):
            raise StoreUnavailable(f"{self.url}: another thread has been writing for {BUSY_SECONDS} s")
        try:
            yield
        finally:
            turns.release()

    def _write(self, write: Callable[[Connection], T]) -> T:
        """Run statements that need no rows as one transaction, again after a conflict."""
        return self._run(lambda rows: write(cast("SqlRows", rows).connection))

    def _answer(self, read: Callable[[Connection], T]) -> T:
        """Run statements that only read."""

        def answer() -> T:
            with self._connected(self._reader) as connection:
                return read(connection)

        return self._tried(answer)

    def _look(self, read: Callable[[Connection], T]) -> T:
        """Run several statements that only read and see one and the same moment."""

        def look() -> T:
            with self._connected(self._reader) as connection:
                for statement in _SNAPSHOT[self._dialect]:
                    connection.exec_driver_sql(statement)
                found = read(connection)
                connection.rollback()
                return found

        return self._tried(look)

    def _administer(self, work: Callable[[Engine, str], T]) -> T:
        """Do something to the tables themselves."""

        def administer() -> T:
            with self._gate.passing(), self._translated():
                return work(self._engine, self._schema.prefix)

        return self._tried(administer)

    def _tried(self, work: Callable[[], T]) -> T:
        """Do something again if its connection turns out to be a stale one."""
        for _ in range(TRIES):
            try:
                return work()
            except Conflict as conflict:
                last = conflict
        raise StoreUnavailable(f"{self.url}: {TRIES} tries in a row failed: {last}")

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        with self._gate.passing():
            with self._translated(connecting=True):
                connection = engine.connect()
            with self._translated(), connection:
                yield connection

    @contextmanager
    def _translated(self, *, connecting: bool = False) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except SQLAlchemyError as error:
            seconds = time.monotonic() - began
            told = translate(error, self._url, connecting=connecting, seconds=seconds)
            raise told from error.__cause__
