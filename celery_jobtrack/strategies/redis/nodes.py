"""Finding the server that holds our one slot, and connecting to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from celery_jobtrack.errors import ConfigurationError

if TYPE_CHECKING:
    from celery_jobtrack.strategies.redis.urls import Place

CONNECT_SECONDS = 5
ANSWER_SECONDS = 5
"""How long a server may be silent. No script takes a tenth of this."""

CLIENT_NAME = "celery-jobtrack"


def make_nodes(place: Place, key: bytes) -> Nodes:
    """Who knows where the server is.

    Args:
        place: From ``parse_place``.
        key: One of the store's keys: a cluster has them all where this one is.
    """
    return {"server": Nodes, "sentinel": SentinelNodes, "cluster": ClusterNodes}[place.kind](place, key)


class Nodes:
    """One server, wherever its URL says."""

    moves = False
    """Whether another server may take its place."""

    def __init__(self, place: Place, key: bytes) -> None:
        self._place = place
        self._key = key

    def connect(self) -> Any:
        """A new connection to the server, ready for use. Raises what redis-py raises."""
        return self._connected()

    def forget(self) -> None:
        """The server is not where it was: ask again."""

    def _connected(self, host: str | None = None, port: int | None = None, **more: Any) -> Any:
        options = _USUAL | dict(self._place.options) | more | _FIXED
        if host is not None:
            options |= {"host": host, "port": port}
        kind: Any = SSLConnection if self._place.encrypted else Connection
        if "path" in options:
            kind = UnixDomainSocketConnection
        else:
            options.setdefault("socket_keepalive", True)
        # No second try by the library: it would repeat silently what we repeat knowingly (``wire.py``).
        try:
            connection = kind(retry=Retry(NoBackoff(), 0), **options)
        except TypeError as error:
            text = f"{self._place.shown}: an option in the URL is none of redis-py's: {error}"
            raise ConfigurationError(text) from error
        connection.connect()
        return connection


_USUAL: dict[str, Any] = {
    "socket_timeout": ANSWER_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
    "client_name": CLIENT_NAME,
}
_FIXED: dict[str, Any] = {"protocol": 2, "health_check_interval": 0, "decode_responses": False}
"""What a URL cannot change: how answers come, and that the library asks nothing by itself."""


class SentinelNodes(Nodes):
    """The master of a name, as the sentinels say: they are asked for every connection."""

    moves = True

    def connect(self) -> Any:
        from redis import sentinel as redis_sentinel

        make: Any = redis_sentinel.Sentinel
        options = {"socket_timeout": CONNECT_SECONDS, "socket_connect_timeout": CONNECT_SECONDS}
        sentinel = make(list(self._place.hosts), sentinel_kwargs=options | dict(self._place.sentinel_options))
        try:
            host, port = sentinel.discover_master(self._place.master)
        finally:
            for client in sentinel.sentinels:
                client.close()
        return self._connected(host, port)


class ClusterNodes(Nodes):
    """The node of a cluster that serves our slot; which one is asked anew whenever it has moved."""

    moves = True

    def __init__(self, place: Place, key: bytes) -> None:
        super().__init__(place, key)
        self._slot = key_slot(key)
        self._known = list(place.hosts)
        self._master: tuple[str, int] | None = None

    def connect(self) -> Any:
        if self._master is None:
            self._master = self._ask()
        try:
            return self._connected(*self._master)
        except RedisConnectionError:
            self._master = self._ask()
            return self._connected(*self._master)

    def forget(self) -> None:
        self._master = None

    def _ask(self) -> tuple[str, int]:
        """Ask one node after the other, those of the URL last: they may be gone by now."""
        failure: Exception = RedisConnectionError("no node of the cluster is known")
        for host, port in self._known:
            try:
                connection = self._connected(host, port)
                try:
                    connection.send_command("CLUSTER", "SLOTS")
                    ranges = connection.read_response()
                finally:
                    connection.disconnect()
            except RedisError as error:
                failure = error
                continue
            nodes = [(_name(node, host), int(node[1])) for entry in ranges for node in entry[2:]]
            self._known = list(dict.fromkeys([*nodes, *self._place.hosts]))
            for first, last, master, *_ in ranges:
                if first <= self._slot <= last:
                    return _name(master, host), int(master[1])
            failure = RedisConnectionError(f"no node of the cluster serves slot {self._slot}")
        raise failure


def _name(node: Any, asked: str) -> str:
    """A node's host; one that does not know its own name is where it was asked."""
    name = node[0]
    return name.decode() if name else asked
