"""Pruned of all that has ended, a store must be as empty as on its first day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
import sqlalchemy as sa

from celery_jobtrack.model.state import FINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.strategies.contract import Store

CHUNK = 500
KEPT = ("version", "leases")
"""Ends of names of tables: the schema's version, and leases, which run out."""

ROOT = "{jobtrack:default}"
"""The one key that stays: it says which layout the others have."""


def prune_everything(store: Store) -> None:
    """Delete whatever has ended by now."""
    now = store.now()
    for state in FINAL:
        while store.prune_jobs(state, now, CHUNK):
            pass
    while store.prune_groups(now, CHUNK):
        pass
    while store.prune_workers(now, CHUNK):
        pass
    store.overdue_queues(now)  # with this question, asked at every tick, Redis forgets queues that rest


def what_is_left(url: str) -> Mapping[str, int]:
    """Names of tables that are not empty with the number of their rows; of Redis, keys that live for ever."""
    return _keys_left(url) if url.startswith("redis") else _rows_left(url)


def _rows_left(url: str) -> Mapping[str, int]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            names = [name for name in sa.inspect(connection).get_table_names() if not name.endswith(KEPT)]
            counted = {
                name: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name)))
                for name in names
            }
    finally:
        engine.dispose()
    return {name: count for name, count in counted.items() if count}


def _keys_left(url: str) -> Mapping[str, int]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        keys = [key for key in client.scan_iter(count=CHUNK) if key != ROOT]
        return {key: 1 for key in keys if client.ttl(key) == -1}
