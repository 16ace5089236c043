"""The engine: one for each dialect, with every wait bounded."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from celery_jobtrack.errors import ConfigurationError, StoreUnavailable
from celery_jobtrack.strategies.sql.driver import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Connection, Engine

CONNECT_SECONDS = 5
ANSWER_SECONDS = 15
"""How long a server may be silent in the middle of a statement."""
LOCK_SECONDS = 2
"""How long a statement waits for a row that another transaction holds; then that is a conflict."""
BUSY_SECONDS = 30
"""How long a transaction waits for an SQLite file that others are writing."""
IDLE_TRANSACTION_SECONDS = 30
"""When PostgreSQL ends the transaction of a process that was frozen with rows locked."""

READS = "jobtrack_reads"
"""Execution option of connections that only read."""

_EXTRAS = {"postgresql": "postgres", "mysql": "mysql"}


def make_engine(url: URL, *, answer_seconds: int | None = None) -> Engine:
    """An engine for a parsed URL; it connects when it is first used.

    Args:
        url: From ``parse_url``.
        answer_seconds: How long a server may take for one statement; None for the usual.

    Raises:
        ConfigurationError: The driver is not installed.
        StoreUnavailable: The folder of an SQLite file cannot be made.
    """
    dialect = url.get_backend_name()
    answer_seconds = answer_seconds or ANSWER_SECONDS
    if dialect == "sqlite":
        _make_folder(url)
    options: dict[str, Any] = {
        "connect_args": _connect_arguments(url, answer_seconds),
        # What a job was called with is nobody's business in an error's text.
        "hide_parameters": True,
        # Opened only as needed: a worker needs two or three, a process with threads one for each. Those
        # beyond the pool's size are closed after every use, which costs ten times what they do.
        "pool_size": 20,
        "max_overflow": 10,
        "pool_timeout": ANSWER_SECONDS,
        "pool_use_lifo": True,
        # Every transaction here ends in a commit or a rollback of its own.
        "pool_reset_on_return": None,
    }
    if dialect == "mysql":
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = create_engine(url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(dialect, dialect)
        raise ConfigurationError(
            f"{url.drivername}:// needs a driver that is not installed: "
            f"pip install 'celery-jobtrack[{extra}]'"
        ) from error
    event.listen(engine, "connect", partial(_PREPARE[dialect], answer_seconds))
    if dialect == "sqlite":
        event.listen(engine, "begin", _begin_sqlite)
    elif dialect == "postgresql":
        from celery_jobtrack.strategies.sql.bounded import bounded_connect

        event.listen(engine, "begin", _begin_postgresql)
        # The server's own limit comes first, as it leaves the connection intact.
        event.listen(engine, "do_connect", bounded_connect(answer_seconds + 2))
    return engine


def reading(engine: Engine) -> Engine:
    """The same engine and pool, for transactions that only read."""
    return engine.execution_options(**{READS: True})


def _connect_arguments(url: URL, answer_seconds: int) -> dict[str, Any]:
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        return {"timeout": BUSY_SECONDS}
    if dialect == "postgresql":
        return {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "celery-jobtrack",
            # Notices a machine that vanished without a word.
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
            **_preparing(url),
        }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": answer_seconds,
        "write_timeout": answer_seconds,
        "charset": "utf8mb4",
        "program_name": "celery-jobtrack",
    }


def _preparing(url: URL) -> dict[str, int | None]:
    """What the URL says of prepared statements, as psycopg wants it: no text can be its None.

    Behind a pooler that hands out another connection for each transaction they must be switched off,
    unless it knows of them: ``?prepare_threshold=none``.
    """
    asked = str(url.query.get("prepare_threshold", "")).lower()
    if not asked:
        return {}
    if asked == "none":
        return {"prepare_threshold": None}
    if not asked.isdecimal():
        raise ConfigurationError(
            f"prepare_threshold={asked} in the store's URL must be a number of executions, or none to "
            "never prepare a statement"
        )
    return {"prepare_threshold": int(asked)}


def _make_folder(url: URL) -> None:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"the folder {folder} of the store's SQLite file cannot be made: {error.strerror}; "
            "name a file in a folder that this process may write"
        ) from error


def _prepare_sqlite(_answer_seconds: int, connection: Any, _record: object) -> None:
    # Transactions begin where we say (see ``_begin_sqlite``), not where the driver guesses.
    connection.isolation_level = None
    _with_patience(lambda: connection.execute("PRAGMA journal_mode = WAL").close())
    # With a write-ahead log this loses no commit unless the machine itself goes down.
    connection.execute("PRAGMA synchronous = NORMAL").close()


def _with_patience(execute: Callable[[], None]) -> None:
    """Repeat what SQLite refuses because somebody else is at the file."""
    import sqlite3

    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return execute()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.005))  # noqa: S311 - so that two do not meet again at once


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get(READS, False):
        connection.exec_driver_sql("BEGIN")
        return
    # A transaction that reads first and writes later is refused when another wrote in between, however
    # long it would wait. One that says at once that it writes waits for its turn.
    driver: Any = connection.connection.driver_connection
    # Looking every few milliseconds: SQLite's own waiting soon sleeps for 100 ms between two looks. Tried
    # with eight processes that do nothing but write, the unluckiest waited three times as long with it.
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        _with_patience(lambda: driver.execute("BEGIN IMMEDIATE").close())
    except driver.OperationalError:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # once more, to fail as SQLAlchemy's errors do
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}").close()


def _prepare_postgresql(answer_seconds: int, connection: Any, _record: object) -> None:
    # Transactions begin where we say (see ``_begin_postgresql``): a statement that is one by itself
    # needs no BEGIN and no COMMIT, each of which is a round trip.
    connection.autocommit = True
    connection.execute(
        "SET default_transaction_isolation = 'read committed';"
        f"SET lock_timeout = {LOCK_SECONDS * 1000};"
        f"SET statement_timeout = {answer_seconds * 1000};"
        f"SET idle_in_transaction_session_timeout = {IDLE_TRANSACTION_SECONDS * 1000}",
        prepare=False,
    )


def _begin_postgresql(connection: Connection) -> None:
    # What only reads is one statement, and that is one snapshot anyway.
    if connection.get_execution_options().get(READS, False):
        return
    pooled = connection.connection
    driver: Any = pooled.driver_connection
    try:
        driver.execute("BEGIN", prepare=False)
    except driver.Error as error:
        raise told(error, "BEGIN", connection.engine, pooled, connection.invalidate) from error


def _prepare_mysql(_answer_seconds: int, connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        # The strict mode refuses what it would otherwise cut to fit.
        cursor.execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE', "
            f"time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_SECONDS}"
        )


_PREPARE = {"sqlite": _prepare_sqlite, "postgresql": _prepare_postgresql, "mysql": _prepare_mysql}
