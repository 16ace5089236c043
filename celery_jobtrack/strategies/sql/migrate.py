"""Tables made and upgraded: by Alembic, under a lock, and only when there is something to do.

Alembic is driven through its context directly, without ``env.py`` and ``alembic.op``: those stand on
globals of the process, which a user's own migration or another thread may be using.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from celery_jobtrack.errors import SchemaMismatch, StoreUnavailable
from celery_jobtrack.strategies.sql import schema
from celery_jobtrack.strategies.sql.engine import make_engine, reading
from celery_jobtrack.strategies.sql.failures import is_missing_table
from celery_jobtrack.strategies.sql.urls import shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_SECONDS = 60
"""How long one process waits while another makes or upgrades the tables."""
MIGRATION_SECONDS = 3600


def version_table(prefix: str) -> str:
    """The name of the table that holds the version."""
    return f"{prefix}schema_version"


def ensure(engine: Engine, prefix: str) -> None:
    """Make the tables of an empty database, and refuse tables that this code cannot work with.

    A server's tables are never upgraded by themselves, as other versions of the code may be running on
    them. An SQLite file is: it belongs to one installation.

    Raises:
        SchemaMismatch: The tables are older than this code, or newer by more than one version.
    """
    version = stored_version(engine, prefix)
    if version is None:
        _, version = _migrate(engine, prefix, only_if_empty=True)
    elif version < schema.SCHEMA_VERSION and engine.dialect.name == "sqlite":
        _, version = _migrate(engine, prefix)
    _check_not_too_new(engine, version)
    if version < schema.SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{shown_url(engine.url)}: its tables have version {version} and this code needs version "
            f"{schema.SCHEMA_VERSION}; run: celery -A … jobtrack db upgrade"
        )


def upgrade(engine: Engine, prefix: str) -> tuple[int, int]:
    """Bring the tables to this code's version.

    Returns:
        The versions before (0: there were no tables) and after.

    Raises:
        SchemaMismatch: The tables are newer than this code by more than one version.
    """
    before, after = _migrate(engine, prefix)
    _check_not_too_new(engine, after)
    return before, after


def stored_version(engine: Engine, prefix: str) -> int | None:
    """The version of the tables, by one SELECT; None where there are none."""
    try:
        with reading(engine).connect() as connection:
            return _read_version(connection, prefix)
    except DBAPIError as error:
        if is_missing_table(error):
            return None
        raise


def _read_version(connection: Connection, prefix: str) -> int | None:
    found = connection.scalar(text(f"SELECT version_num FROM {version_table(prefix)}"))  # noqa: S608
    return None if found is None else int(found)


def _check_not_too_new(engine: Engine, version: int) -> None:
    if version > schema.SCHEMA_VERSION + 1:
        raise SchemaMismatch(
            f"{shown_url(engine.url)}: its tables have version {version} and this code knows those of "
            f"version {schema.SCHEMA_VERSION} and the next; upgrade celery-jobtrack"
        )


def _migrate(engine: Engine, prefix: str, *, only_if_empty: bool = False) -> tuple[int, int]:
    """Run what revisions are missing, looking again under the lock: another process may have done it."""
    patient = make_engine(engine.url, answer_seconds=MIGRATION_SECONDS)
    try:
        with patient.connect() as connection, _locked(connection, prefix):
            before = None
            if inspect(connection).has_table(version_table(prefix)):
                before = _read_version(connection, prefix)
            if before is None:
                _remove_half_made(connection, prefix)
            elif only_if_empty or before >= schema.SCHEMA_VERSION:
                return before, before
            _run_revisions(connection, prefix)
            return before or 0, schema.SCHEMA_VERSION
    finally:
        patient.dispose()


@contextmanager
def _locked(connection: Connection, prefix: str) -> Iterator[None]:
    """One transaction, and nobody else in here until it is committed."""
    name = f"{prefix}schema"
    if connection.dialect.name == "mysql":
        with _named_lock(connection, name), connection.begin():
            yield
        return
    with connection.begin():
        # SQLite's transaction is the lock.
        if connection.dialect.name == "postgresql":
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield


@contextmanager
def _named_lock(connection: Connection, name: str) -> Iterator[None]:
    """MySQL's lock of a session: it outlasts transactions, which every CREATE TABLE ends there.

    It is released after the last commit, which writes the version: who came in before would find
    tables without one, and take them for half made.
    """
    lock = {"name": name, "seconds": LOCK_SECONDS}
    with connection.begin():
        got = connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), lock)
    if not got:
        raise StoreUnavailable(
            f"{shown_url(connection.engine.url)}: another process has been making or upgrading the "
            f"tables for more than {LOCK_SECONDS} s"
        )
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _remove_half_made(connection: Connection, prefix: str) -> None:
    """Drop what a process left that was killed while it made the tables, where DDL commits by itself.

    Without a version nobody has worked with them, so they are empty. If one is not, the version was
    lost in some other way, and nothing is touched.
    """
    existing = set(inspect(connection).get_table_names())
    found = [table for table in schema.Schema(prefix).metadata.sorted_tables if table.name in existing]
    for table in found:
        if connection.execute(table.select().limit(1)).first() is not None:
            raise SchemaMismatch(
                f"{shown_url(connection.engine.url)}: there are tables such as {table.name}, with rows, "
                f"but {version_table(prefix)} does not say of which version; restore it from a backup"
            )
    for table in found:
        table.drop(connection)


def _run_revisions(connection: Connection, prefix: str) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS))

    def missing(current: Sequence[str], _context: object) -> Any:
        # So do Alembic's own commands and its cookbook; there is no public name for it.
        return scripts._upgrade_revs("head", current)  # type: ignore[arg-type]  # noqa: SLF001

    context = MigrationContext.configure(
        connection, opts={"version_table": version_table(prefix), "fn": missing}
    )
    context.run_migrations(op=Operations(context), prefix=prefix)
