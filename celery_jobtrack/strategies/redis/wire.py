"""The way to the server: connections that are kept, and one try more when one of them was stale.

redis-py's client costs 80 microseconds of CPU for each call, a connection with a command that is packed
here a few. Each thread or greenlet has a connection for the time of a call and gives it back.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from celery_jobtrack.strategies.redis.nodes import Nodes
    from celery_jobtrack.strategies.redis.scripts import Script

KEPT = 32
"""Idle connections that a process keeps; more are opened as needed."""
IDLE_SECONDS = 60.0
"""After which a connection is not trusted: what stands between may have dropped it without a word."""


class Wire:
    """Runs scripts on the server that ``nodes`` finds, under one key."""

    def __init__(self, nodes: Nodes, key: bytes) -> None:
        self._nodes = nodes
        self._key = b"$1\r\n1\r\n$%d\r\n%b\r\n" % (len(key), key)
        self._idle: deque[tuple[Any, float]] = deque()

    def run(self, script: Script, arguments: tuple[bytes, ...]) -> Any:
        """The script's answer.

        Raises:
            redis.exceptions.RedisError: The server refuses, or does not answer.
        """
        tail = b"".join([b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments])
        count = 4 + len(arguments) - 1
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (count + 1, script.digest)
        try:
            return self.send(head + self._key + tail)
        except NoScriptError:
            source = script.source
            head = b"*%d\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (count + 1, len(source), source)
            return self.send(head + self._key + tail)

    def send(self, command: bytes) -> Any:
        """Send one packed command, and once more over a new connection if the old one had ended.

        Whether a command arrived before its connection broke is not known; every script may be repeated.
        """
        try:
            return self._send(command)
        except RedisTimeoutError:
            raise  # it may still be running: again is up to the caller
        except ResponseError as error:
            if not self._nodes.moves or not _is_elsewhere(error):
                raise
        except RedisConnectionError:
            pass
        self._nodes.forget()
        self.close()
        return self._send(command)

    def _send(self, command: bytes) -> Any:
        connection = self._take()
        try:
            connection.send_packed_command([command], check_health=False)
            answer = connection.read_response()
        except ResponseError:
            self._give(connection)
            raise
        except BaseException:
            # Whatever it was, an answer may still come, and must not be taken for that of the next.
            connection.disconnect()
            raise
        self._give(connection)
        return answer

    def _take(self) -> Any:
        while True:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                return self._nodes.connect()
            if time.monotonic() - used < IDLE_SECONDS:
                return connection
            connection.disconnect()

    def _give(self, connection: Any) -> None:
        self._idle.append((connection, time.monotonic()))
        if len(self._idle) > KEPT:
            self._idle.popleft()[0].disconnect()

    def close(self) -> None:
        """Let go of the connections that nobody uses."""
        idle, self._idle = self._idle, deque()
        for connection, _ in idle:
            connection.disconnect()

    def abandon(self) -> None:
        """Forget the connections of the parent process: redis-py closes a copy without ending it."""
        self._idle = deque()


def _is_elsewhere(error: ResponseError) -> bool:
    """Whether another server has our keys or is the master. redis-py 5 has no class for the first."""
    return isinstance(error, (MovedError, ReadOnlyError)) or str(error).startswith("MOVED ")
