"""Statements that are transactions by themselves, at the least cost that keeps every wait bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from celery_jobtrack.strategies.sql.driver import told
from celery_jobtrack.strategies.sql.failures import translate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine, PoolProxiedConnection

    from celery_jobtrack.strategies.sql.forks import ForkGate

_CURSOR = "jobtrack_cursor"


class Autocommit:
    """Executes statements in the driver's own words on the connections of an engine's pool.

    Args:
        engine: Its connections commit by themselves unless a transaction is begun.
        gate: Passed for each statement.
    """

    def __init__(self, engine: Engine, gate: ForkGate) -> None:
        self._engine = engine
        self._gate = gate

    def row(self, text: str, parameters: Sequence[Any]) -> Sequence[Any] | None:
        """The first row of a statement's result, as the driver gives it; None if it has none.

        Raises:
            Conflict: Somebody else was faster, or the connection broke.
            StoreUnavailable: The store does not answer.
        """
        with self._gate.passing():
            pooled = self._checked_out()
            try:
                return _execute(pooled, text, parameters)
            except BaseException as error:
                failure = told(error, text, self._engine, pooled, pooled.invalidate)
                if not isinstance(failure, exc.SQLAlchemyError):
                    raise
                raise translate(failure, self._engine.url) from error
            finally:
                pooled.close()

    def _checked_out(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except exc.SQLAlchemyError as error:
            raise translate(error, self._engine.url, connecting=True) from error.__cause__
        except self._engine.dialect.loaded_dbapi.Error as error:
            failure = exc.DBAPIError.instance("", (), error, type(error), hide_parameters=True)
            raise translate(failure, self._engine.url, connecting=True) from error


def _execute(pooled: PoolProxiedConnection, text: str, parameters: Sequence[Any]) -> Sequence[Any] | None:
    # A cursor for each connection: making one costs as much as half an execution.
    cursor: Any = pooled.info.get(_CURSOR)
    if cursor is None:
        from celery_jobtrack.strategies.sql.bounded import numbered_cursor

        cursor = pooled.info[_CURSOR] = numbered_cursor(pooled.driver_connection)
    cursor.execute(text, parameters)
    row: Sequence[Any] | None = cursor.fetchone()
    return row
