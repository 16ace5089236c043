"""A throw-away MariaDB."""

from __future__ import annotations

from typing import Any

import pymysql

from tests.servers.ports import HOST
from tests.servers.programs import find
from tests.servers.server import Server

PACKAGE = "mariadb-server"
SETTINGS = (
    "--skip-log-bin",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=2",  # a commit must outlive the server's death, not the machine's
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
    "--performance-schema=OFF",
    "--max-connections=300",
    "--character-set-server=utf8mb4",  # its collation is the server's default, as users have it
)


class MariaDB(Server):
    """MariaDB with its ``root``, who needs no password. Isolation level and SQL mode are its defaults."""

    name = "mariadb"
    account = "mysql"

    @property
    def url(self) -> str:
        return self._url("test")

    def new_database(self) -> str:
        self._databases += 1
        database = f"test_{self._databases}"
        self._execute(f"CREATE DATABASE {database}")
        return self._url(database)

    def find_programs(self) -> None:
        self._mariadbd = find(self.name, "mariadbd", package=PACKAGE)
        self._install = find(self.name, "mariadb-install-db", package=PACKAGE)

    def prepare(self) -> None:
        options = ["--no-defaults", "--auth-root-authentication-method=normal"]  # with a database "test"
        self.run(self._install, *options, f"--datadir={self.directory / 'data'}")

    def command(self) -> list[str]:
        where = [f"--datadir={self.directory / 'data'}", f"--bind-address={HOST}", f"--port={self.port}"]
        files = ["--socket=mariadb.sock", "--pid-file=mariadb.pid"]  # in the data directory
        return [self._mariadbd, "--no-defaults", *where, *files, *SETTINGS]

    def is_ready(self) -> bool:
        try:
            (data,) = self._execute("SELECT @@datadir")
        except pymysql.err.OperationalError:
            return False
        return data.rstrip("/") == str(self.directory / "data")

    def _url(self, database: str) -> str:
        return f"mysql+pymysql://root@{HOST}:{self.port}/{database}?charset=utf8mb4"

    def _execute(self, statement: str) -> Any:
        """Runs one statement; its first row, if it has any."""
        connection = pymysql.connect(
            host=HOST, port=self.port, user="root", connect_timeout=5, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()


def start() -> MariaDB:
    """A running MariaDB; two to three seconds.

    Raises:
        ServerMissingError: It is not installed.
        ServerFailedError: It did not start; the end of its log says why.
    """
    return MariaDB()
