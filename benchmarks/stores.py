"""The stores that are measured by themselves, without Celery."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.strategies.resolve import resolve
from tests.servers import ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.servers import Servers
    from celery_jobtrack.strategies.contract import Store
    from tests.servers import Server

NAMES = ("memory", "sqlite", "postgresql", "mariadb", "redis")
SERVERS = frozenset({"postgresql", "mariadb", "redis"})


class NoSuchStoreError(RuntimeError):
    """A store that cannot be had here; says why."""


def locate(name: str, servers: Servers, folder: Path) -> tuple[str, Server | None]:
    """The URL of a fresh store, and its server, if it has one.

    Raises:
        NoSuchStoreError: The server is not installed, or celery-jobtrack has no such store.
    """
    server = None
    if name in SERVERS:
        try:
            server = servers[name]
        except ServerMissingError as missing:
            raise NoSuchStoreError(str(missing)) from None
        url = server.new_database()
    else:
        url = "memory://" if name == "memory" else f"sqlite:///{folder}/jobs.db"
    try:
        resolve(url, {}, namespace="default")
    except ConfigurationError:
        raise NoSuchStoreError("this version of celery-jobtrack has no store of this kind") from None
    return url, server


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The store of this URL, in a process that may deliver events."""
    store = resolve(url, {}, namespace="default").store
    store.open()
    store.delivers = lambda: True
    try:
        yield store
    finally:
        store.close()
