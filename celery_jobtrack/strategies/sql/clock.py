"""The store's time: the server's clock, or the machine's where the database is a local file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, literal_column

from celery_jobtrack.strategies.sql.types import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import ColumnElement

_POSTGRESQL = "CAST(EXTRACT(EPOCH FROM {}) * 1000000 AS BIGINT)"
POSTGRESQL_NOW = _POSTGRESQL.format("clock_timestamp()")
"""The server's time in microseconds, at the very moment when it is asked."""
_MYSQL = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
_COLUMNS = {"postgresql": POSTGRESQL_NOW, "mysql": _MYSQL}
# One and the same throughout a statement; with one that moves PostgreSQL would use no index.
_EXPRESSIONS = {"postgresql": _POSTGRESQL.format("statement_timestamp()"), "mysql": _MYSQL}


class Clock:
    """Gives the time, in Python and inside of statements.

    Args:
        dialect: The name of the SQL dialect.
        offset: Seconds to add, asked anew every time: how tests let time pass.
    """

    def __init__(self, dialect: str, offset: Callable[[], float] | None) -> None:
        self._offset = offset
        self.column: ColumnElement[int] | None = None
        """The server's time as a column to select (hand it to ``moment``); None without a server."""
        self.expression: ColumnElement[int] = bindparam("clock", type_=BigInteger)
        """The store's time inside of a statement, which must be given ``parameters()``."""
        if dialect in _COLUMNS:
            self.column = literal_column(_COLUMNS[dialect], BigInteger).label("server_clock")
            self.expression = literal_column(_EXPRESSIONS[dialect], BigInteger) + self.expression

    def parameters(self) -> dict[str, Any]:
        """What ``expression`` needs: the time itself, or the offset from the server's."""
        return {"clock": self._shift() if self.column is not None else _machine() + self._shift()}

    def moment(self, server: int | None) -> datetime:
        """The store's time, from the server's microseconds where there is a server."""
        return from_microseconds((_machine() if server is None else server) + self._shift())

    def _shift(self) -> int:
        return 0 if self._offset is None else round(self._offset() * 1_000_000)


def _machine() -> int:
    return time.time_ns() // 1000
