"""A throw-away Redis Cluster of three masters, without replicas."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import redis

from tests.servers.ports import HOST, free_port
from tests.servers.redis import Redis
from tests.waiting import wait_until

if TYPE_CHECKING:
    from typing_extensions import Self

NODES = 3
SLOTS = 16384
READY_SECONDS = 30


class RedisNode(Redis):
    """One node: a Redis with a second port, on which the nodes talk to each other."""

    name = "redis-cluster"

    def find_programs(self) -> None:
        self.bus_port = free_port()
        super().find_programs()

    def command(self) -> list[str]:
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": "2000",
            "cluster-announce-ip": HOST,
            "databases": "1",
        }
        return [
            *super().command(),
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
        ]


class RedisCluster:
    """Three nodes that share the slots. ``nodes`` are servers of their own: kill and restart them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self.nodes = [self._stack.enter_context(RedisNode()) for _ in range(NODES)]
            self._form()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def client(self, node: RedisNode) -> redis.Redis:
        return redis.Redis(host=HOST, port=node.port, socket_timeout=5)

    def flush(self) -> None:
        """Empties every node."""
        for node in self.nodes:
            with self.client(node) as client:
                client.flushall()

    def keys(self) -> list[bytes]:
        """Every key of every node."""
        found: list[bytes] = []
        for node in self.nodes:
            with self.client(node) as client:
                found += client.keys()
        return found

    def stop(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _form(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            with self.client(node) as client:
                begin, end = number * SLOTS // NODES, (number + 1) * SLOTS // NODES
                for slot in range(begin, end, 1000):
                    client.execute_command("CLUSTER", "ADDSLOTS", *range(slot, min(slot + 1000, end)))
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if node is not first:
                    client.execute_command("CLUSTER", "MEET", HOST, first.port, first.bus_port)
        wait_until(self._is_formed, READY_SECONDS, "the cluster is formed")

    def _is_formed(self) -> bool:
        for node in self.nodes:
            with self.client(node) as client:
                info = client.execute_command("CLUSTER", "INFO")
                text = info.decode() if isinstance(info, bytes) else str(info)
                known = info.get("cluster_known_nodes") if isinstance(info, dict) else None
                if isinstance(info, dict):
                    if info.get("cluster_state") != "ok" or known != str(NODES):
                        return False
                elif "cluster_state:ok" not in text or f"cluster_known_nodes:{NODES}" not in text:
                    return False
        return True


def start() -> RedisCluster:
    """A running cluster; some two seconds.

    Raises:
        ServerMissingError: Redis is not installed.
        ServerFailedError: A node did not start; the end of its log says why.
    """
    return RedisCluster()
