"""Fixtures: a database of the session's Redis, and a store in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from celery_jobtrack.strategies.redis import RedisStore
from celery_jobtrack.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.redis import Redis


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    return redis_server.new_database()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def redis_clock() -> Clock:
    return Clock()


@pytest.fixture
def redis_store(redis_url: str, redis_clock: Clock) -> Iterator[RedisStore]:
    store = RedisStore(redis_url, clock_offset=redis_clock.offset)
    store.open()
    yield store
    store.close()
