"""A connection to PostgreSQL that does not wait for ever. Imported only where psycopg is needed.

A server that was frozen, or a network that swallows packets, keeps a client waiting without an error:
the kernel at the other end may even confirm what it receives. PyMySQL has a time limit for that;
psycopg has one for connecting only, so it is added where psycopg waits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _BoundedConnection(psycopg.Connection[Any]):
    """Gives up, and closes, when the server is silent for too long."""

    answer_seconds: float = 0

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """``gen``, ended by an error when nothing has come for it in time.

        psycopg resumes it when there is something to read or write, and with 0 each time that some
        fraction of a second passed without.
        """
        deadline = time.monotonic() + self.answer_seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server has not answered for {self.answer_seconds:g} seconds"
                    )
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


def bounded_connect(answer_seconds: float) -> Callable[..., Any]:
    """A listener for SQLAlchemy's event ``do_connect``."""

    def connect(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:
        connection = _BoundedConnection.connect(*arguments, **options)
        connection.answer_seconds = answer_seconds
        return connection

    return connect
