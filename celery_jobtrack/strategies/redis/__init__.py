"""A store in Redis or Valkey: one server, a master behind sentinels, or one slot of a cluster.

Every business transition is one Lua script (``lua/``). All keys of a namespace share one hash tag, so a
script touches one slot only. ``fields.py`` has the storage format, ``wire.py`` the way to the server.
"""

from celery_jobtrack.strategies.redis.store import RedisStore

__all__ = ["RedisStore"]
