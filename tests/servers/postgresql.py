"""A throw-away PostgreSQL."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from tests.servers.ports import HOST
from tests.servers.programs import find
from tests.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "postgresql"
SETTINGS = {
    "fsync": "off",  # a commit must outlive the server's death, not the machine's
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",  # no checkpoint while tests run
    "autovacuum": "off",
    "unix_socket_directories": "",
}


class PostgreSQL(Server):
    """PostgreSQL with one superuser, ``postgres``, who needs no password."""

    name = "postgresql"
    account = "postgres"
    settings: ClassVar[Mapping[str, str]] = SETTINGS
    ending = (signal.SIGINT, signal.SIGQUIT)  # fast, then immediate; SIGTERM would wait for the clients
    death_signal: ClassVar[signal.Signals] = signal.SIGQUIT  # the one that ends the children as well

    @property
    def url(self) -> str:
        return self._url("postgres")

    def new_database(self) -> str:
        self._databases += 1
        database = f"test_{self._databases}"
        self._execute(f"CREATE DATABASE {database}")
        return self._url(database)

    def find_programs(self) -> None:
        self._initdb = find(self.name, "initdb", package=PACKAGE)
        self._postgres = find(self.name, "postgres", package=PACKAGE)

    def prepare(self) -> None:
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self.run(self._initdb, *options, f"--pgdata={self.directory / 'data'}")

    def command(self) -> list[str]:
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.directory / "data")
        return [self._postgres, "-D", data, "-h", HOST, "-p", str(self.port), *settings]

    def is_ready(self) -> bool:
        try:
            (data,) = self._execute("SHOW data_directory")
        except psycopg.OperationalError:
            return False
        return data == str(self.directory / "data")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def _execute(self, statement: str) -> Any:
        """Runs one statement outside of a transaction; its first row, if it has any."""
        where = {"host": HOST, "port": self.port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None


class DurablePostgreSQL(PostgreSQL):
    """PostgreSQL that waits for the disk at every commit, as it comes."""

    settings = SETTINGS | {"fsync": "on", "full_page_writes": "on"}


def start() -> PostgreSQL:
    """A running PostgreSQL; about a second.

    Raises:
        ServerMissingError: It is not installed.
        ServerFailedError: It did not start; the end of its log says why.
    """
    return PostgreSQL()
