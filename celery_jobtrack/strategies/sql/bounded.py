"""A connection to PostgreSQL that does not wait for ever. Imported only where psycopg is needed.

A server that was frozen, or a network that swallows packets, keeps a client waiting without an error:
the kernel at the other end may even confirm what it receives. PyMySQL has a time limit for that;
psycopg has one for connecting only, so it is added where psycopg waits.
"""

from __future__ import annotations

import inspect
import os
import time
from contextlib import suppress
from selectors import DefaultSelector
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


HAS_PIPES = psycopg.Pipeline.is_supported()
"""Whether libpq can be handed several statements at once: since its version 14."""
_KNOWS_TIMEOUT = "timeout" in inspect.signature(psycopg.Connection.wait).parameters


class _BoundedConnection(psycopg.Connection[Any]):
    """Gives up, and closes, when the server is silent for too long."""

    answer_seconds: float = 0
    process = 0

    def __del__(self, *arguments: Any) -> None:
        if self.process in {0, os.getpid()}:
            super().__del__(*arguments)
            return
        # A copy that a fork made. It is let go without a word to the server, which the parent goes on
        # talking to; but it must not keep the socket open when the parent is gone.
        with suppress(psycopg.Error, OSError):
            os.close(self.pgconn.socket)

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        if _KNOWS_TIMEOUT:
            return super().wait(self._bounded(gen), *args, **options)
        return self._wait_here(gen)

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
                    self._give_up()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    def _wait_here(self, gen: Generator[Any, Any, Any]) -> Any:
        """The same for a psycopg that waits for ever without resuming ``gen``."""
        deadline = time.monotonic() + self.answer_seconds
        try:
            wanted = next(gen)
            with DefaultSelector() as selector:
                key = selector.register(self.pgconn.socket, wanted)
                while True:
                    found = selector.select(max(0.0, deadline - time.monotonic()))
                    if not found:
                        self._give_up()
                    wanted = gen.send(found[0][1])
                    if wanted != key.events:
                        key = selector.modify(self.pgconn.socket, wanted)
        except StopIteration as done:
            return done.value

    def _give_up(self) -> NoReturn:
        self.pgconn.finish()
        raise psycopg.OperationalError(f"the server has not answered for {self.answer_seconds:g} seconds")


def bounded_connect(answer_seconds: float) -> Callable[..., Any]:
    """A listener for SQLAlchemy's event ``do_connect``."""

    def connect(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:
        connection = _BoundedConnection.connect(*arguments, **options)
        connection.answer_seconds = answer_seconds
        connection.process = os.getpid()
        return connection

    return connect


def numbered_cursor(connection: Any) -> psycopg.Cursor[Any]:
    """A cursor whose statements name their parameters as PostgreSQL does: ``$1`` and so on."""
    return psycopg.RawCursor(connection)
