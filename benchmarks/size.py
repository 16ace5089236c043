"""How many bytes a store takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _redis(url: str) -> int:
    """``used_memory``: what is stored with its indexes, without what the allocator holds beside it."""
    import redis

    with redis.Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def _postgresql(url: str) -> int:
    """All of our tables with their indexes, after a plain VACUUM."""
    statement = (
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
        "WHERE relkind = 'r' AND relname LIKE 'jobtrack\\_%'"
    )
    return int(_ask(url, ["VACUUM ANALYZE"], statement))


def _mysql(url: str) -> int:
    """Data and indexes as the server estimates them."""
    statement = (
        "SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables "
        "WHERE table_schema = database()"
    )
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
    return int(_ask(url, [], statement, analyse=tables))


def _sqlite(url: str) -> int:
    """The file, after what is in its write-ahead log has been written into it."""
    _ask(url, ["ANALYZE"], "PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(url.removeprefix("sqlite:///")).stat().st_size


def _ask(url: str, prepare: list[str], statement: str, analyse: str = "") -> Any:
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for each in prepare:
                connection.execute(text(each))
            for table in connection.scalars(text(analyse)).all() if analyse else ():
                connection.execute(text(f"ANALYZE TABLE {table}")).all()
            return connection.scalar(text(statement))
    finally:
        engine.dispose()


READ: dict[str, Callable[[str], int]] = {
    "redis": _redis,
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}


def size(url: str) -> int:
    """Bytes of the store at this URL. Raises KeyError for a store that has no size."""
    return READ[url.partition(":")[0].partition("+")[0]](url)
