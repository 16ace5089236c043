"""What a database's errors mean to the callers of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from celery_jobtrack.errors import InvalidPayload, JobTrackError, SchemaMismatch, StoreUnavailable
from celery_jobtrack.strategies.row.rows import Conflict
from celery_jobtrack.strategies.sql import engine
from celery_jobtrack.strategies.sql.urls import shown_url

if TYPE_CHECKING:
    from sqlalchemy import URL

# Deadlock, serialization failure, and a row that stayed locked too long.
_POSTGRESQL_CONFLICTS = {"40P01", "40001", "55P03"}
# Deadlock, a row that stayed locked too long, and (MariaDB) a record changed since it was read.
_MYSQL_CONFLICTS = {1213, 1205, 1020}
_MYSQL_TOO_LARGE = 1153
_NO_TABLE = {"42P01", 1146}

_ADVICE = {
    "sqlite": "check that the file and its folder can be written, on a local disk",
    "postgresql": "check that the server runs and that host, database, user and password are right",
    "mysql": "check that the server runs and that host, database, user and password are right",
}


def translate(
    error: exc.SQLAlchemyError, url: URL, *, connecting: bool = False, seconds: float = 0.0
) -> Exception:
    """The error that a caller of the store should see; ``Conflict`` asks for another try.

    Args:
        error: What SQLAlchemy raised.
        url: The store's URL; its password does not get into the message.
        connecting: Whether there was no connection yet.
        seconds: How long what failed had been going on.
    """
    if isinstance(error, exc.TimeoutError):
        return StoreUnavailable(f"{shown_url(url)}: every connection of this process is in use")
    if not isinstance(error, exc.StatementError):
        return error
    cause = error.orig
    if isinstance(cause, JobTrackError):
        return cause
    if not isinstance(error, exc.DBAPIError):
        return error
    what = _first_line(cause)
    # A connection breaks because the server was restarted since it was last used, and then a new one
    # works. Whether a commit arrived before the break is not known, but every operation may be made
    # again. If the server is away, the next try fails while connecting, and that is no conflict.
    if (error.connection_invalidated and not connecting) or _is_conflict(error, seconds):
        return Conflict(what)
    where = shown_url(url)
    if isinstance(error, exc.DataError) or _code(cause) == _MYSQL_TOO_LARGE:
        return InvalidPayload(f"{where} cannot keep a value: {what}")
    if is_missing_table(error):
        return SchemaMismatch(f"{where}: {what}; open() makes the tables of an empty store")
    return StoreUnavailable(f"{where}: {what}; {_ADVICE[url.get_backend_name()]}")


def is_missing_table(error: exc.DBAPIError) -> bool:
    """Whether a statement named a table that is not there."""
    return _code(error.orig) in _NO_TABLE or "no such table" in str(error.orig)


def _is_conflict(error: exc.DBAPIError, seconds: float) -> bool:
    if isinstance(error, exc.IntegrityError):
        return True
    if "database is locked" in str(error.orig):
        # SQLite waits by itself, but not in every corner of its write-ahead log.
        return seconds < 0.9 * engine.BUSY_SECONDS
    code = _code(error.orig)
    return code in _POSTGRESQL_CONFLICTS or code in _MYSQL_CONFLICTS


def _code(cause: Any) -> object:
    """MySQL's number, or PostgreSQL's state. SQLite has neither in Python 3.10."""
    arguments = getattr(cause, "args", ())
    if arguments and isinstance(arguments[0], int):
        return arguments[0]
    return getattr(cause, "sqlstate", None)


def _first_line(cause: object) -> str:
    if isinstance(cause, Exception) and len(cause.args) > 1:
        cause = cause.args[-1]
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
