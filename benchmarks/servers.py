"""The throw-away servers of a run: each started once, when it is first needed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.servers import mariadb, postgresql, rabbitmq, redis

if TYPE_CHECKING:
    from typing_extensions import Self

    from tests.servers import Server

STARTS = {
    "broker": redis.start,
    "redis": redis.start,
    "postgresql": postgresql.start,
    "postgresql-durable": postgresql.DurablePostgreSQL,
    "mariadb": mariadb.start,
    "rabbitmq": rabbitmq.start,
}
"""The broker is a Redis of its own, so that its CPU is told from a store's."""


class Servers:
    """Context manager; ``servers["postgresql"]`` starts it or gives the one that runs."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._stack = ExitStack()

    def __getitem__(self, name: str) -> Server:
        """Raises ServerMissingError, ServerFailedError."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(STARTS[name]())
        return self._running[name]

    def programs(self) -> list[str]:
        """The paths of the server programs that run."""
        return sorted({server.command()[0] for server in self._running.values()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
