"""The servers of one lane of rounds: its own, since a fault restarts them under whoever uses them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.servers import postgresql, rabbitmq, redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

    from tests.servers import Server

_START: dict[str, Callable[[], Server]] = {
    "postgresql": postgresql.start,
    "redis": redis.start,
    "rabbitmq": rabbitmq.start,
}


class Lane:
    """Rounds that come one after the other.

    Servers are started when they are first needed and are kept, as a fresh database is quicker to be had
    than a fresh server. A store and a broker of the same kind are two servers.
    """

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._stack = ExitStack()

    def broker(self, kind: str) -> tuple[Server, str]:
        """The server, and the URL of a fresh database there.

        Raises:
            ServerMissingError: It is not installed.
        """
        server = self._server("broker", kind)
        return server, server.new_database()

    def store(self, kind: str, folder: Path) -> tuple[Server | None, str]:
        """The same for the store; SQLite has no server, and a file in the round's folder."""
        if kind == "sqlite":
            return None, f"sqlite:///{folder / 'jobtrack.db'}"
        server = self._server("store", kind)
        return server, server.new_database()

    def replace(self) -> None:
        """Let go of all servers: the last round may have left them in any state."""
        self._stack.close()
        self._servers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _server(self, role: str, kind: str) -> Server:
        name = f"{role} {kind}"
        if name not in self._servers:
            self._servers[name] = self._stack.enter_context(_START[kind]())
        return self._servers[name]
