"""The life of a Redis store: its connections, its scripts, its forks."""

from __future__ import annotations

import logging
import os
import re
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from celery_jobtrack.errors import ConfigurationError, StoreUnavailable
from celery_jobtrack.strategies.contract import Store
from celery_jobtrack.strategies.redis.failures import mismatch, translate
from celery_jobtrack.strategies.redis.fields import LAYOUT
from celery_jobtrack.strategies.redis.nodes import make_nodes
from celery_jobtrack.strategies.redis.packing import the_moment, unpack
from celery_jobtrack.strategies.redis.scripts import script
from celery_jobtrack.strategies.redis.urls import parse_place
from celery_jobtrack.strategies.redis.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

logger = logging.getLogger(__name__)

OLDEST_SERVER = (6, 2)
_INFO = b"*1\r\n$4\r\nINFO\r\n"


class RedisBase(Store):
    """Connects, runs scripts, and says in our own words what goes wrong with them."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        options: Mapping[str, Any] | None = None,
        clock_offset: Callable[[], float] | None = None,
    ) -> None:
        if re.fullmatch(r"[a-z0-9_]{1,24}", namespace) is None:
            raise ConfigurationError(
                f"namespace {namespace!r} cannot be part of a key's name: use 1 to 24 of a-z, 0-9 and _"
            )
        self.claimant = uuid.uuid4().hex
        self.delivers: Callable[[], bool] = lambda: True
        self._namespace = namespace
        self._place = parse_place(url, options)
        root = f"{{jobtrack:{namespace}}}".encode()
        self._wire = Wire(make_nodes(self._place, root), root)
        self._clock_offset = clock_offset
        _after_fork(self)

    @property
    def url(self) -> str:
        return self._place.shown

    def open(self) -> None:
        self._check_server()
        layout = self._run("open").decode(errors="replace")
        if layout != str(LAYOUT):
            raise mismatch(self._place, self._namespace, layout, LAYOUT)

    def schema_versions(self) -> tuple[int, int]:
        """The layout of the stored keys (0: there is none yet), and the one that this code writes.

        Raises:
            SchemaMismatch: What is stored is no layout of ours.
        """
        layout = self._run("stored_layout").decode(errors="replace")
        if not layout:
            return 0, LAYOUT
        if re.fullmatch("[1-9][0-9]{0,8}", layout) is None:
            raise mismatch(self._place, self._namespace, layout, LAYOUT)
        return int(layout), LAYOUT

    def upgrade(self) -> tuple[int, int]:
        """Write the layout where there is none; there is no older one from which to upgrade.

        Raises:
            SchemaMismatch: The keys have another layout than this code writes.
        """
        before, _ = self.schema_versions()
        self.open()
        return before, LAYOUT

    def close(self) -> None:
        self._wire.close()

    def after_fork(self) -> None:
        self._wire.abandon()
        self.claimant = uuid.uuid4().hex

    def now(self) -> datetime:
        return the_moment(int(self._run("time")))

    def _run(self, name: str, *arguments: bytes) -> Any:
        """What a script answers."""
        offset = b"0"
        if self._clock_offset is not None:
            offset = b"%d" % round(self._clock_offset() * 1_000_000)
        try:
            return self._wire.run(script(name), (offset, *arguments))
        except (RedisError, OSError) as error:
            raise translate(error, self._place, self._namespace) from error

    def _ask(self, name: str, *arguments: bytes) -> Any:
        """What a script answers, of several parts."""
        return unpack(self._run(name, *arguments))

    def _claimant(self) -> bytes:
        """By whom events are claimed that a transition causes; nobody where nobody delivers."""
        return self.claimant.encode() if self.delivers() else b""

    def _check_server(self) -> None:
        try:
            answer = self._wire.send(_INFO)
        except (RedisError, OSError) as error:
            told = translate(error, self._place, self._namespace)
            if "may not do that" in str(told):
                return  # the server keeps that to itself
            raise told from error
        info = dict(line.partition(":")[::2] for line in answer.decode().splitlines() if ":" in line)
        version = info.get("redis_version", "")
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers and numbers < OLDEST_SERVER:
            raise StoreUnavailable(f"{self.url} is Redis {version}; celery-jobtrack needs 6.2 or newer")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            logger.warning(
                "%s drops keys when its memory is full (maxmemory-policy %s), records of jobs among them: "
                "set maxmemory-policy noeviction",
                self.url,
                policy,
            )


def _after_fork(store: RedisBase) -> None:
    """Call ``after_fork`` in every child of this process, for as long as the store lives."""
    forget = weakref.WeakMethod(store.after_fork)

    def in_child() -> None:
        if (call := forget()) is not None:
            call()

    os.register_at_fork(after_in_child=in_child)
