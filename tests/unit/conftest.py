from tests.unit.apps import eager, small
from tests.unit.sql_databases import sql_namespace, sql_server_url, sql_store, sql_url

__all__ = ["eager", "small", "sql_namespace", "sql_server_url", "sql_store", "sql_url"]
