from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.migrate import MIGRATIONS, version_table
from celery_jobtrack.strategies.sql.schema import SCHEMA_VERSION, Schema, table_prefix
from celery_jobtrack.testing.steps import enqueue, group, start

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import ReflectedIndex


def test_revisions_make_what_the_schema_says(sql_store: SqlStore) -> None:
    schema = sql_store._schema
    with sql_store._engine.connect() as connection:

        def ours(name: str | None, kind: str, parents: object) -> bool:
            return kind != "table" or str(name).startswith(schema.prefix)

        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": version_table(schema.prefix),
                "compare_type": True,
                "include_name": ours,
            },
        )
        assert compare_metadata(context, schema.metadata) == []


def test_revisions_make_the_same_text_as_the_schema(sql_url: str, sql_namespace: str) -> None:
    """What Alembic does not compare: collations, conditions of indexes, lengths, engines."""
    migrated = SqlStore(sql_url, namespace=f"{sql_namespace}_a")
    plain = Schema(table_prefix(f"{sql_namespace}_b"))
    migrated.open()
    try:
        with migrated._engine.begin() as connection:
            plain.metadata.create_all(connection)
            made = _described(connection, migrated._schema.prefix)
            wanted = _described(connection, plain.prefix)
        del made["schema_version"]
        assert made == wanted
    finally:
        migrated.close()


def _described(connection: Connection, prefix: str) -> dict[str, object]:
    found = inspect(connection)
    tables = [name for name in found.get_table_names() if name.startswith(prefix)]
    described: dict[str, object] = {}
    for table in tables:
        about = {
            "columns": [{**column, "type": repr(column["type"])} for column in found.get_columns(table)],
            "indexes": sorted(_legible(index) for index in found.get_indexes(table)),
            "unique": sorted(found.get_unique_constraints(table), key=lambda unique: str(unique["name"])),
            "key": found.get_pk_constraint(table),
            "options": found.get_table_options(table) if connection.dialect.name == "mysql" else None,
        }
        described[table.removeprefix(prefix)] = repr(about).replace(prefix, "PREFIX_")
    return described


def _legible(index: ReflectedIndex) -> str:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']}: {index['column_names']} {index['unique']} {options}"


def test_version_of_the_code_is_the_newest_revision() -> None:
    assert [int(head) for head in ScriptDirectory(str(MIGRATIONS)).get_heads()] == [SCHEMA_VERSION]


def test_namespaces_of_one_database_do_not_meet(sql_url: str, sql_namespace: str) -> None:
    one, other = (SqlStore(sql_url, namespace=f"{sql_namespace}_{name}") for name in ("one", "other"))
    try:
        one.open()
        other.open()
        group(one)
        enqueue(one, "job", group_id="g")
        assert other.job("job") is None
        assert other.group("g") is None
        assert start(other, "job").admitted
        assert one.job("job") != other.job("job")
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize(("namespace", "prefix"), [("default", "jobtrack_"), ("shop", "jobtrack_shop_")])
def test_prefix_names_the_namespace(namespace: str, prefix: str) -> None:
    assert table_prefix(namespace) == prefix


def test_no_name_is_too_long_for_postgresql() -> None:
    schema = Schema(table_prefix("n" * 24))
    for table in schema.metadata.sorted_tables:
        names = [table.name, *(index.name for index in table.indexes)]
        names += [constraint.name for constraint in table.constraints if constraint.name]
        assert all(len(str(name)) <= 63 for name in names)
