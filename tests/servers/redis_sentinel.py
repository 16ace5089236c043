"""A throw-away Redis master with a replica, and a sentinel that watches them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import redis

from tests.servers.ports import HOST
from tests.servers.redis import Redis
from tests.waiting import wait_until

if TYPE_CHECKING:
    from typing_extensions import Self

MASTER = "jobs"
READY_SECONDS = 30


class Replica(Redis):
    """A read-only copy of another server."""

    name = "redis-replica"

    def __init__(self, master: Redis) -> None:
        self._master = master
        super().__init__()

    def command(self) -> list[str]:
        return [
            *super().command(),
            "--replicaof",
            HOST,
            str(self._master.port),
            "--repl-diskless-sync-delay",
            "0",
        ]


class Sentinel(Redis):
    """Names a new master half a second after the old one fell silent."""

    name = "redis-sentinel"

    def __init__(self, master: Redis) -> None:
        self._master = master
        super().__init__()

    def command(self) -> list[str]:
        settings = self.directory / "sentinel.conf"
        if not settings.exists():
            settings.write_text(
                f"sentinel monitor {MASTER} {HOST} {self._master.port} 1\n"
                f"sentinel down-after-milliseconds {MASTER} 500\n"
                f"sentinel failover-timeout {MASTER} 2000\n"
            )
            settings.chmod(0o666)  # the sentinel, of another account, keeps its state there
        place = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.directory)]
        return [self._server, str(settings), "--sentinel", *place]


class SentinelTrio:
    """``master``, ``replica`` and ``sentinel``: servers of their own, to be killed and restarted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self.master = self._stack.enter_context(Redis())
            self.replica = self._stack.enter_context(Replica(self.master))
            self.sentinel = self._stack.enter_context(Sentinel(self.master))
            wait_until(self._is_watched, READY_SECONDS, "the sentinel knows the replica")
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"sentinel://{HOST}:{self.sentinel.port}/0"

    def stop(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _is_watched(self) -> bool:
        with redis.Redis(host=HOST, port=self.sentinel.port, socket_timeout=5) as client:
            replicas = client.sentinel_slaves(MASTER)
        return any(one["master-link-status"] == "ok" and not one["is_sdown"] for one in replicas)


def start() -> SentinelTrio:
    """A running trio; some two seconds.

    Raises:
        ServerMissingError: Redis is not installed.
        ServerFailedError: A server did not start; the end of its log says why.
    """
    return SentinelTrio()
