"""A throw-away Redis, or Valkey where that is installed instead."""

from __future__ import annotations

import redis

from tests.servers.ports import HOST
from tests.servers.programs import find
from tests.servers.server import Server

PACKAGE = "redis-server"
DATABASES = 512
SETTINGS = {
    "save": "",
    "appendonly": "yes",
    "appendfsync": "no",  # an answer must outlive the server's death, not the machine's
    "auto-aof-rewrite-percentage": "0",  # no forks
    "maxmemory-policy": "noeviction",
    "databases": str(DATABASES),
}


class Redis(Server):
    """Redis without a password. Database 0 is that of ``url``."""

    name = "redis"
    account = "redis"

    @property
    def url(self) -> str:
        return self._url(0)

    def new_database(self) -> str:
        """The URL of the next numbered database, emptied. Publish and subscribe cross databases."""
        self._databases = self._databases % (DATABASES - 1) + 1
        url = self._url(self._databases)
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def find_programs(self) -> None:
        self._server = find(self.name, "redis-server", "valkey-server", package=PACKAGE)

    def prepare(self) -> None:
        """Nothing: Redis fills its directory itself."""

    def command(self) -> list[str]:
        settings = SETTINGS | {"bind": HOST, "port": str(self.port), "dir": str(self.directory)}
        return [self._server, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def is_ready(self) -> bool:
        try:
            with redis.Redis(host=HOST, port=self.port, socket_timeout=5) as client:
                return client.info("server")["process_id"] == self.pid
        except redis.exceptions.ConnectionError:  # also while it loads its data
            return False

    def _url(self, database: int) -> str:
        return f"redis://{HOST}:{self.port}/{database}"


def start() -> Redis:
    """A running Redis; a tenth of a second.

    Raises:
        ServerMissingError: It is not installed.
        ServerFailedError: It did not start; the end of its log says why.
    """
    return Redis()
