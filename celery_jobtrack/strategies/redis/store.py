"""A store in Redis, whole."""

from __future__ import annotations

from celery_jobtrack.strategies.redis.faults import Faults
from celery_jobtrack.strategies.redis.forgetting import Forgetting
from celery_jobtrack.strategies.redis.groups import GroupOperations
from celery_jobtrack.strategies.redis.jobs import JobTransitions
from celery_jobtrack.strategies.redis.listings import Listings
from celery_jobtrack.strategies.redis.locks import LockOperations
from celery_jobtrack.strategies.redis.upkeep import Upkeep
from celery_jobtrack.strategies.redis.workers import WorkerOperations


class RedisStore(
    JobTransitions, Forgetting, GroupOperations, LockOperations, WorkerOperations, Upkeep, Listings, Faults
):
    """Jobs, groups, locks, events, workers and leases in Redis 6.2 or newer, or in Valkey.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, ``sentinel://h1:p;sentinel://h2:p/db``, or
            ``redis+cluster://h1:p,h2:p``.
        namespace: Keeps apart what shares a database: 1 to 24 of ``a-z``, ``0-9`` and ``_``. Part of
            the keys' names.
        options: ``master_name`` and ``sentinel_kwargs`` of sentinels, ``ssl`` of encrypted connections.
        clock_offset: Gives seconds by which the store's time is moved; for tests.

    Raises:
        ConfigurationError: The URL or the namespace cannot be used.

    Example::

        store = RedisStore("redis://:password@localhost:6379/0")
        store.open()
    """
