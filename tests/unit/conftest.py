from tests.unit.apps import eager, small
from tests.unit.redis_databases import redis_client, redis_clock, redis_store, redis_url
from tests.unit.sql_databases import sql_namespace, sql_server_url, sql_store, sql_url

__all__ = [
    "eager",
    "redis_client",
    "redis_clock",
    "redis_store",
    "redis_url",
    "small",
    "sql_namespace",
    "sql_server_url",
    "sql_store",
    "sql_url",
]
