"""The URLs by which Redis stores are named, and what people are shown of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from celery_jobtrack.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = ("redis", "rediss", "unix", "redis+socket")
SENTINEL, CLUSTER = "sentinel", ("redis+cluster", "rediss+cluster")
SCHEMES = (*PLAIN, SENTINEL, *CLUSTER)

PORT, SENTINEL_PORT = 6379, 26379
# What redis-py's pools take and connections do not, and what others read from the same URL.
_NOT_FOR_US = frozenset({"max_connections", "timeout", "connection_class", "virtual_host", "master_name"})
_VERIFY = {"cert_none": "none", "cert_optional": "optional", "cert_required": "required"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a store is: how to find its server, and how to connect to that."""

    shown: str
    """The URL for people: no password."""
    kind: str
    """``server``, ``sentinel`` or ``cluster``."""
    hosts: tuple[tuple[str, int], ...] = ()
    """Whom to ask for the server: sentinels, or nodes of a cluster."""
    master: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For the connection, as redis-py names them."""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)
    encrypted: bool = False


def parse_place(url: str, options: Mapping[str, Any] | None = None) -> Place:
    """Where the store is that a URL names.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``sentinel://h1:p;sentinel://h2:p/db`` or
            ``redis+cluster://h1:p,h2:p``.
        options: ``master_name`` and ``sentinel_kwargs`` as in Celery's transport options, and ``ssl`` as
            ``broker_use_ssl`` has it.

    Raises:
        ConfigurationError: The URL cannot be read, or does not name a server.
    """
    options = options or {}
    scheme = url.partition("://")[0]
    try:
        if scheme == SENTINEL:
            place = _behind_sentinels(url, options)
        elif scheme in CLUSTER:
            place = _in_cluster(url)
        else:
            place = _plain(url, options)
    except ValueError:
        # Without the URL, and without the cause, which may quote it: it may hold a password.
        raise ConfigurationError(
            f"the store's URL, {scheme}://…, cannot be read; it looks like redis://:password@host:6379/0, "
            "sentinel://host:26379;sentinel://other:26379/0 or redis+cluster://host:6379,other:6379"
        ) from None
    return place


def tls_options(given: Any) -> dict[str, Any]:
    """The options of Celery's ``broker_use_ssl`` or ``redis_backend_use_ssl`` as redis-py takes them."""
    found = dict(given) if isinstance(given, dict) else {}
    return {name: _verify(value) if name == "ssl_cert_reqs" else value for name, value in found.items()}


def _plain(url: str, given: Mapping[str, Any]) -> Place:
    parts = urlsplit(url)
    tls = tls_options(given.get("ssl"))
    options = tls | _query(parts.query)
    if parts.scheme in {"unix", "redis+socket"}:
        options["path"] = unquote(parts.path)
        database = dict(parse_qsl(parts.query)).get("virtual_host", options.pop("db", "0"))
        options["db"] = _database(str(database))
        shown = f"unix://{options['path']}?db={options['db']}"
    else:
        options.setdefault("db", _database(parts.path))
        options["db"] = int(options["db"])
        options["host"], options["port"] = parts.hostname or "localhost", parts.port or PORT
        shown = f"{parts.scheme}://{options['host']}:{options['port']}/{options['db']}"
    _credentials(parts, options)
    return Place(shown=shown, kind="server", options=options, encrypted=bool(tls) or parts.scheme == "rediss")


def _behind_sentinels(url: str, given: Mapping[str, Any]) -> Place:
    parts = [urlsplit(one.strip()) for one in url.split(";") if one.strip()]
    options: dict[str, Any] = {"db": 0}
    master = str(given.get("master_name") or "")
    for one in parts:
        options.update(_query(one.query))
        master = master or dict(parse_qsl(one.query)).get("master_name", "")
        _credentials(one, options)
        if one.path.strip("/"):
            options["db"] = _database(one.path)
    if not master:
        raise ConfigurationError(
            "sentinel://… needs the name of the master: set 'master_name' in "
            "result_backend_transport_options or broker_transport_options"
        )
    hosts = tuple((one.hostname or "localhost", one.port or SENTINEL_PORT) for one in parts)
    names = ";".join(f"sentinel://{host}:{port}" for host, port in hosts)
    return Place(
        shown=f"{names}/{options['db']}?master_name={master}",
        kind="sentinel",
        hosts=hosts,
        master=master,
        options=options | tls_options(given.get("ssl")),
        sentinel_options=dict(given.get("sentinel_kwargs") or {}),
        encrypted=isinstance(given.get("ssl"), dict),
    )


def _in_cluster(url: str) -> Place:
    parts = urlsplit(url)
    options = _query(parts.query)
    user, _, addresses = parts.netloc.rpartition("@")
    hosts = []
    for address in addresses.split(","):
        one = urlsplit(f"//{address}")
        hosts.append((one.hostname or "localhost", one.port or PORT))
    if parts.path.strip("/") not in {"", "0"}:
        raise ConfigurationError("a Redis Cluster has database 0 only; take the number off the URL")
    if user:
        _credentials(urlsplit(f"//{user}@host"), options)
    names = ",".join(f"{host}:{port}" for host, port in hosts)
    return Place(
        shown=f"{parts.scheme}://{names}",
        kind="cluster",
        hosts=tuple(hosts),
        options=options,
        encrypted=parts.scheme.startswith("rediss"),
    )


def _query(query: str) -> dict[str, Any]:
    from redis.connection import URL_QUERY_ARGUMENT_PARSERS

    options: dict[str, Any] = {}
    for name, value in parse_qsl(query):
        if name in _NOT_FOR_US:
            continue
        parse: Any = URL_QUERY_ARGUMENT_PARSERS.get(name)
        options[name] = _verify(value) if name == "ssl_cert_reqs" else parse(value) if parse else value
    return options


def _credentials(parts: Any, options: dict[str, Any]) -> None:
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)


def _database(path: str) -> int:
    name = unquote(path).strip("/")
    return int(name) if name else 0


def _verify(value: Any) -> str:
    """``CERT_NONE``, ``VerifyMode.CERT_NONE`` or ``none``, as redis-py takes it."""
    name = getattr(value, "name", value)
    return _VERIFY.get(str(name).lower(), str(name).lower()) if name is not None else "none"
