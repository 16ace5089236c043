"""Every store that the package brings, each under every test that asks for ``backend``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.contract.backends import NAMES, FrozenMemoryBackend, MemoryBackend, RedisBackend, SqlBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.backends import Backend


@pytest.fixture(scope="session", params=NAMES)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A kind of store; ``fresh(clock)`` gives an empty one."""
    if request.param == "memory":
        yield MemoryBackend()
    elif request.param == "memory-frozen":
        yield FrozenMemoryBackend()
    elif request.param == "redis":
        url = request.getfixturevalue("redis_server").new_database()
        with redis.Redis.from_url(url) as client:
            yield RedisBackend(request.param, url, empty=client.flushdb, keys=client.keys)
    elif request.param == "redis-cluster":
        cluster = request.getfixturevalue("redis_cluster_server")
        yield RedisBackend(request.param, cluster.url, empty=cluster.flush, keys=cluster.keys)
    else:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'jobs.db'}"
        else:
            url = request.getfixturevalue(f"{request.param}_server").new_database()
        with SqlBackend(request.param, url) as sql:
            yield sql
