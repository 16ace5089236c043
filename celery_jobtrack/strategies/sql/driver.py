"""Statements on the driver's own cursor, compiled once.

SQLAlchemy says what a statement is and how its values are converted; what it does around each execution
costs ten times what the driver does, and hot statements need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Select, exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect, Engine, Executable, PoolProxiedConnection
    from sqlalchemy.sql.compiler import SQLCompiler

    Processor = Callable[[Any], Any]
    Load = tuple[int, Processor, Any]


class Compiled:
    """One statement in one dialect: its text, and how values go in and come out.

    Args:
        statement: All of its parameters must be named.
        dialect: Of a connection that has been made: it knows its server then.
        names: The parameters, as for SQLAlchemy: they are the columns of a plain INSERT.
    """

    def __init__(self, statement: Executable, dialect: Dialect, names: Iterable[str]) -> None:
        compiled = cast("SQLCompiler", statement.compile(dialect=dialect, column_keys=list(names)))  # type: ignore[attr-defined]
        self.text = str(compiled)
        order = compiled.positiontup if compiled.positional else compiled.binds
        self._binds = [(name, binder(compiled.binds[name], dialect)) for name in order or ()]
        # What SQLAlchemy makes a parameter by itself, such as a limit.
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._positional = compiled.positional
        columns = list(statement.selected_columns) if isinstance(statement, Select) else []
        self._loads = loaders(columns, dialect)

    def parameters(self, values: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        """What to hand to the driver."""
        if self._fixed:
            values = {**self._fixed, **values}
        if self._positional:
            return [values[name] if bind is None else bind(values[name]) for name, bind in self._binds]
        return {name: values[name] if bind is None else bind(values[name]) for name, bind in self._binds}

    def load(self, row: Sequence[Any]) -> list[Any]:
        """A row of the driver's as SQLAlchemy would give it."""
        return convert(row, self._loads)


class DriverConnection:
    """Executes statements within the transaction of an SQLAlchemy connection.

    Args:
        connection: Its transaction has begun.
        compiled: What was compiled before, for this dialect; what is compiled now is added.
    """

    def __init__(
        self,
        connection: Connection,
        compiled: dict[tuple[Executable, tuple[str, ...]], Compiled],
    ) -> None:
        self._connection = connection
        self._compiled = compiled
        self._driver: Any = connection.connection.driver_connection
        self._left: list[tuple[str, Sequence[Any] | dict[str, Any]]] = []
        self._pipes = connection.dialect.name == "postgresql" and _has_pipes()

    def one(self, statement: Executable, values: Mapping[str, Any]) -> list[Any] | None:
        """The first row, or None."""
        compiled = self._of(statement, values)
        cursor = self._execute(compiled.text, compiled.parameters(values))
        try:
            row = cursor.fetchone()
        finally:
            cursor.close()
        return None if row is None else compiled.load(row)

    def all(self, statement: Executable, values: Mapping[str, Any]) -> list[list[Any]]:
        """Every row."""
        compiled = self._of(statement, values)
        cursor = self._execute(compiled.text, compiled.parameters(values))
        try:
            return [compiled.load(row) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def leave(self, statement: Executable, values: Mapping[str, Any]) -> None:
        """Execute a statement whose result nobody needs, at the latest together with the next one.

        PostgreSQL is handed both at once then, and answers both at once; other drivers execute it here.
        What it raises, such as that a row is there already, is raised by that one.
        """
        if self._pipes:
            compiled = self._of(statement, values)
            self._left.append((compiled.text, compiled.parameters(values)))
        else:
            self.write(statement, values)

    def catch_up(self) -> None:
        """Execute what was left."""
        if self._left:
            text, parameters = self._left.pop()
            self._execute(text, parameters).close()

    def write(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Execute a statement without a result; returns how many rows it wrote."""
        compiled = self._of(statement, values)
        cursor = self._execute(compiled.text, compiled.parameters(values))
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def numbered(self, text: str, parameters: Sequence[Any]) -> Sequence[Any] | None:
        """The first row of a statement with ``$1``, as the driver gives it."""
        from celery_jobtrack.strategies.sql.bounded import numbered_cursor

        cursor = self._executed(numbered_cursor(self._driver), text, parameters)
        try:
            row: Sequence[Any] | None = cursor.fetchone()
        finally:
            cursor.close()
        return row

    def _of(self, statement: Executable, values: Mapping[str, Any]) -> Compiled:
        key = (statement, tuple(values))
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compiled[key] = Compiled(statement, self._connection.dialect, values)
        return compiled

    def _execute(self, text: str, parameters: Sequence[Any] | dict[str, Any]) -> Any:
        return self._executed(self._driver.cursor(), text, parameters)

    def _executed(self, cursor: Any, text: str, parameters: Sequence[Any] | dict[str, Any]) -> Any:
        left, self._left = self._left, []
        try:
            if left:
                with self._driver.pipeline():
                    for statement, values in left:
                        self._driver.execute(statement, values)
                    cursor.execute(text, parameters)
            else:
                cursor.execute(text, parameters)
        except BaseException as error:
            cursor.close()
            connection = self._connection
            raise told(
                error, text, connection.engine, connection.connection, connection.invalidate
            ) from error
        return cursor


def _has_pipes() -> bool:
    from celery_jobtrack.strategies.sql.bounded import HAS_PIPES

    return HAS_PIPES


def told(
    error: BaseException,
    text: str,
    engine: Engine,
    pooled: PoolProxiedConnection,
    invalidate: Callable[[BaseException], None],
) -> BaseException:
    """The driver's error as SQLAlchemy would raise it; any other as it is.

    A connection that broke is not used again, nor is one that was left in the middle of an answer, as
    by a time limit. The rest of the pool is as old as a connection that the server closed, and goes
    with it.
    """
    dialect = engine.dialect
    known = dialect.loaded_dbapi.Error
    if not isinstance(error, known):
        invalidate(error)
        return error
    is_broken = dialect.is_disconnect(error, pooled, None)
    if is_broken:
        # So does SQLAlchemy itself: connections of the same age are replaced when they are next wanted.
        engine.pool._invalidate(pooled, error, False)  # noqa: SLF001, FBT003
        invalidate(error)
    failure: BaseException = exc.DBAPIError.instance(
        text, (), error, known, hide_parameters=True, connection_invalidated=is_broken, dialect=dialect
    )
    return failure


def binder(of: Any, dialect: Dialect) -> Processor | None:
    """How a value for a column or a parameter is handed to the driver; None: as it is."""
    bind: Processor | None = of.type.dialect_impl(dialect).bind_processor(dialect)
    return bind


def loaders(columns: Iterable[ColumnElement[Any]], dialect: Dialect) -> list[Load]:
    """Which values of a row must be converted: their place, how, and what becomes of null."""
    found = (column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns)
    return [(place, load, load(None)) for place, load in enumerate(found) if load is not None]


def convert(row: Sequence[Any], loads: list[Load]) -> list[Any]:
    """A row with its values converted."""
    values = list(row)
    for place, load, empty in loads:
        value = values[place]
        values[place] = empty if value is None else load(value)
    return values
