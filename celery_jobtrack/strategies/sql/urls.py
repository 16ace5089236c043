"""The URLs by which SQL stores are named, and what people are shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from celery_jobtrack.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import URL

CELERY_PREFIXES = ("db+", "sqla+")

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
    # One dialect serves both: it asks the server which of the two it is.
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mysql+mysqldb": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}


def parse_url(url: str) -> URL:
    """The URL with the driver named and, for SQLite, the path made absolute.

    Raises:
        ConfigurationError: It is no URL, its database or driver is not supported, or it names an
            SQLite database in memory.
    """
    for prefix in CELERY_PREFIXES:
        url = url.removeprefix(prefix)
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Without the URL, and without the cause, which quotes it: it may hold a password.
        raise ConfigurationError(
            "the store's URL cannot be read; it looks like postgresql://user:password@host/database "
            "or sqlite:////path/of/file.db"
        ) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigurationError(
            f"no SQL store for {parsed.drivername}://; supported are {', '.join(sorted(_DRIVERS))}"
        )
    parsed = parsed.set(drivername=driver)
    return _with_absolute_path(parsed) if driver.startswith("sqlite") else parsed


def _with_absolute_path(url: URL) -> URL:
    path = url.database or ""
    if path in {"", ":memory:"} or path.startswith("file:"):
        raise ConfigurationError(
            f"{shown_url(url)} is not a file that several processes can share: "
            "use sqlite:////path/of/file.db, or memory:// for one process"
        )
    # A daemon changes its folder after it has read its settings.
    return url.set(database=str(Path(path).expanduser().absolute()))


def shown_url(url: URL) -> str:
    """The URL for people: no password, neither in its place nor among the options."""
    hidden = {name: "hidden" for name in url.query if "pass" in name.lower() or "secret" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
