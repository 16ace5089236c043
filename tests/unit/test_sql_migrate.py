from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from celery_jobtrack.errors import SchemaMismatch, StoreUnavailable
from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.state import EventKind
from celery_jobtrack.strategies.sql import SqlStore, migrate, schema
from celery_jobtrack.testing import Clock
from celery_jobtrack.testing.steps import all_events, enqueue, finish, start, the_job
from celery_jobtrack.testing.threads import Crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.servers.mariadb import MariaDB

THIS = schema.SCHEMA_VERSION
NEXT = f"""
import sqlalchemy as sa

revision = "{THIS + 1:04}"
down_revision = "{THIS:04}"


def upgrade(op, prefix):
    op.add_column(prefix + "jobs", sa.Column("colour", sa.Integer))
"""


@pytest.fixture
def store(sql_url: str, sql_namespace: str) -> Iterator[SqlStore]:
    """Not opened yet: there are no tables."""
    store = SqlStore(sql_url, namespace=sql_namespace)
    yield store
    store.close()


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the code is one version ahead."""
    shutil.copytree(migrate.MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / f"{THIS + 1:04}_next.py").write_text(NEXT)
    monkeypatch.setattr(migrate, "MIGRATIONS", tmp_path / "migrations")
    monkeypatch.setattr(schema, "SCHEMA_VERSION", THIS + 1)


def _pretend(store: SqlStore, version: str) -> None:
    table = migrate.version_table(store._schema.prefix)
    with store._engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '{version}'"))


def test_empty_database_gets_its_tables_and_keeps_them(store: SqlStore) -> None:
    store.open()
    enqueue(store)
    store.open()
    assert the_job(store)


def test_many_opening_at_once_make_the_tables_once(sql_url: str, sql_namespace: str) -> None:
    stores = [SqlStore(sql_url, namespace=sql_namespace) for _ in range(8)]
    try:
        with Crowd(len(stores)) as crowd:
            crowd.together(lambda n: stores[n].open())
        enqueue(stores[0])
        assert all(store.job("job") for store in stores)
    finally:
        for store in stores:
            store.close()


def test_version_is_committed_before_the_next_may_look(
    mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else that one takes the new tables for half made, and drops them."""
    store = SqlStore(mariadb_server.new_database())
    seen: list[int | None] = []
    release = migrate._named_lock

    @contextmanager
    def watched(connection: Connection, name: str) -> Iterator[None]:
        with release(connection, name):
            yield
            seen.append(migrate.stored_version(store._engine, store._schema.prefix))

    monkeypatch.setattr(migrate, "_named_lock", watched)
    store.open()
    assert seen == [schema.SCHEMA_VERSION]
    store.close()


def test_different_namespaces_may_be_made_at_once(sql_url: str, sql_namespace: str) -> None:
    stores = [SqlStore(sql_url, namespace=f"{sql_namespace}_{n}") for n in range(4)]
    try:
        with Crowd(len(stores)) as crowd:
            crowd.together(lambda n: stores[n].open())
        for store in stores:
            enqueue(store)
    finally:
        for store in stores:
            store.close()


def test_older_tables_on_a_server_are_refused_until_upgraded(
    sql_server_url: str, sql_namespace: str, request: pytest.FixtureRequest
) -> None:
    store = SqlStore(sql_server_url, namespace=sql_namespace)
    try:
        store.open()
        enqueue(store)
        request.getfixturevalue("next_version")
        with pytest.raises(
            SchemaMismatch, match=rf"version {THIS} .* version {THIS + 1}; run: celery .* jobtrack db upgrade"
        ):
            store.open()
        assert store.upgrade() == (THIS, THIS + 1)
        store.open()
        assert the_job(store)
        assert store.upgrade() == (THIS + 1, THIS + 1)
    finally:
        store.close()


def test_older_sqlite_file_is_upgraded_by_itself(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stores = [SqlStore(f"sqlite:///{tmp_path / 'jobs.db'}") for _ in range(4)]
    stores[0].open()
    enqueue(stores[0])
    request.getfixturevalue("next_version")
    with Crowd(len(stores)) as crowd:
        crowd.together(lambda n: stores[n].open())
    assert migrate.stored_version(stores[0]._engine, "jobtrack_") == THIS + 1
    for store in stores:
        assert the_job(store)
        store.close()


@pytest.fixture
def at_version(store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the store's tables as code of an earlier version made them."""

    def make(version: int) -> None:
        with monkeypatch.context() as patched:
            shutil.copytree(migrate.MIGRATIONS, tmp_path / "earlier")
            for path in (tmp_path / "earlier" / "versions").glob("0*.py"):
                if int(path.name[:4]) > version:
                    path.unlink()
            patched.setattr(migrate, "MIGRATIONS", tmp_path / "earlier")
            patched.setattr(schema, "SCHEMA_VERSION", version)
            store.open()
        assert store.schema_versions() == (version, THIS)

    return make


@pytest.mark.parametrize("version", range(1, THIS))
def test_tables_of_earlier_versions_come_to_be_those_of_today(
    store: SqlStore, sql_url: str, sql_namespace: str, at_version: Callable[[int], None], version: int
) -> None:
    at_version(version)
    assert store.upgrade() == (version, THIS)
    anew = SqlStore(sql_url, namespace=f"{sql_namespace}_anew")
    try:
        anew.open()
        assert _described(store) == _described(anew)
    finally:
        anew.close()


def _described(store: SqlStore) -> dict[str, Any]:
    """The tables by their names without the namespace's prefix: columns, keys and indexes."""
    prefix, found = store._schema.prefix, inspect(store._engine)

    def bare(descriptions: Any) -> Any:
        found = []
        for each in descriptions:
            options = {name: str(value) for name, value in each.get("dialect_options", {}).items()}
            found.append(str({**each, "dialect_options": options}).replace(prefix, ""))
        return sorted(found)

    return {
        table.name.removeprefix(prefix): [
            bare(found.get_columns(table.name)),
            bare([found.get_pk_constraint(table.name)]),
            bare(found.get_unique_constraints(table.name)),
            bare(found.get_indexes(table.name)),
        ]
        for table in store._schema.metadata.sorted_tables
    }


def test_jobs_of_the_first_version_are_upgraded(store: SqlStore, at_version: Callable[[int], None]) -> None:
    at_version(1)
    _write_as_before(store, "jobs", OLD_JOB)
    store.upgrade()
    start(store)
    assert store.attempts("job")[0].reruns is False
    assert store.overdue_queues(store.now()) == []


def test_groups_of_the_second_version_go_on(store: SqlStore, at_version: Callable[[int], None]) -> None:
    """One is in its third generation, with a member that runs and two pending events; one has completed."""
    at_version(2)
    _write_as_before(
        store, "groups", {**OLD_GROUP, "id": b"g"}, {**OLD_GROUP, "id": b"old", "completed_at": 9}
    )
    _write_as_before(store, "jobs", {**OLD_JOB, "group_id": b"g", "generation": 3})
    events = [{**OLD_EVENT, "id": b"e%d" % n, "generation": n} for n in (2, 3)]
    _write_as_before(store, "events", *events)
    store.upgrade()
    store.delivers = lambda: False

    group = store.group("g")
    assert group is not None
    assert (group.base_generation, group.callbacks, group.cancels_on_failure) == (3, (), False)
    assert group.totals == Totals(total=1)
    assert store.recompute_group("g").repaired is None
    start(store, group_id="g")
    assert finish(store, group_id="g").applied
    # All that was written before, each in its turn, and the end of the present generation.
    told = [(event.generation, event.kind, event.step) for event in all_events(store, Clock())]
    assert told == [
        (2, EventKind.STARTED, 0),
        (3, EventKind.STARTED, 0),
        (3, EventKind.COMPLETED, 0),
    ]
    enqueue(store, "next", group_id="old")
    assert store.group("old").base_generation == 4


def test_code_of_the_second_version_can_write_in_tables_of_the_third(
    store: SqlStore, at_version: Callable[[int], None]
) -> None:
    """What it does not know of has a default, and one event of a kind is still one."""
    at_version(2)
    known = {name: _columns(store, name) for name in ("jobs", "groups", "events")}
    store.upgrade()
    for name, row in (("jobs", OLD_JOB), ("groups", {**OLD_GROUP, "id": b"g"}), ("events", OLD_EVENT)):
        assert set(row) <= known[name]
        _write_as_before(store, name, row)
    assert the_job(store).id == "job"
    assert store.group("g").base_generation == 1
    with pytest.raises(IntegrityError):
        _write_as_before(store, "events", {**OLD_EVENT, "id": b"another"})


def test_jobs_of_the_fourth_version_claim_nothing(store: SqlStore, at_version: Callable[[int], None]) -> None:
    """Also those that code of that version writes in tables of the fifth."""
    at_version(4)
    _write_as_before(store, "jobs", OLD_JOB)
    store.upgrade()
    _write_as_before(store, "jobs", {**OLD_JOB, "id": b"other"})
    for name in ("job", "other"):
        assert the_job(store, name).keyed is False
        start(store, name, f"t-{name}")
        assert finish(store, name, f"t-{name}").applied


def test_members_that_pause_during_the_upgrade_are_counted(
    store: SqlStore, at_version: Callable[[int], None]
) -> None:
    at_version(3)
    _write_as_before(store, "groups", {**OLD_GROUP, "id": b"g", "base_generation": 2, "total": 5})
    states = {"a": "RETRY", "b": "RETRY", "c": "WAITING", "d": "ENQUEUED", "e": "STARTED"}
    for name, state in states.items():
        member = {"id": name.encode(), "state": state, "group_id": b"g", "generation": 2 + (name == "a")}
        _write_as_before(store, "jobs", {**OLD_JOB, **member})
    # No member as the group counts, and none of a group at all.
    _write_as_before(store, "jobs", {**OLD_JOB, "state": "RETRY", "group_id": b"g", "generation": 1})
    _write_as_before(store, "jobs", {**OLD_JOB, "id": b"alone", "state": "RETRY"})
    store.upgrade()
    status = store.group_status("g")
    assert status is not None
    assert (status.enqueued, status.waiting, status.started, status.retrying) == (1, 1, 1, 2)
    assert store.recompute_group("g").repaired is None


OLD_JOB = {
    "id": b"job",
    "task": b"shop.resize",
    "state": "ENQUEUED",
    "queue": b"celery",
    "retries": 0,
    "run": 1,
    "attempts": 0,
    "copies": 0,
    "enqueued_at": 1,
    "published_at": 1,
    "cancel_requested": False,
    "copy_waiting": False,
}
OLD_GROUP = {
    "state": "RUNNING",
    "generation": 3,
    **{
        f"{when}{name}": 0
        for when in ("", "earlier_")
        for name in ("succeeded", "failed", "revoked", "skipped")
    },
    "total": 1,
    "earlier_total": 5,
    "standing": True,
    "sealed": False,
    "incomplete": False,
    "time_to_check": 60.0,
    "settle_after": 0.0,
    "created_at": 1,
    "started_at": 1,
    "title": "old",
    "description": "",
}
OLD_EVENT = {
    "id": b"e",
    "kind": "job_group_started",
    "group_id": b"g",
    "generation": 3,
    "pending": True,
    "created_at": 1,
    "tries": 0,
    "undeliverable": False,
}
"""Rows as code of version 2 wrote them; keys are bytes, as MariaDB has them."""


def _write_as_before(store: SqlStore, name: str, *rows: dict[str, Any]) -> None:
    """Insert rows by the columns that they name, through none of our types."""
    with store._engine.begin() as connection:
        for row in rows:
            values = {
                key: value.decode() if isinstance(value, bytes) and store._dialect != "mysql" else value
                for key, value in row.items()
            }
            quoted = connection.dialect.identifier_preparer.quote
            columns, marks = ", ".join(map(quoted, values)), ", ".join(f":{key}" for key in values)
            statement = f"INSERT INTO {store._schema.prefix}{name} ({columns}) VALUES ({marks})"
            connection.execute(text(statement), values)


def _columns(store: SqlStore, name: str) -> set[str]:
    return {column["name"] for column in inspect(store._engine).get_columns(store._schema.prefix + name)}


def test_tables_newer_by_one_work(store: SqlStore) -> None:
    store.open()
    _pretend(store, f"{THIS + 1:04}")
    store.open()
    enqueue(store)
    assert store.upgrade() == (THIS + 1, THIS + 1)


def test_tables_newer_by_two_are_refused(store: SqlStore) -> None:
    store.open()
    _pretend(store, f"{THIS + 2:04}")
    for operation in (store.open, store.upgrade):
        with pytest.raises(SchemaMismatch, match="upgrade celery-jobtrack"):
            operation()


def test_upgrade_of_an_empty_database_makes_the_tables(store: SqlStore) -> None:
    assert store.upgrade() == (0, THIS)
    enqueue(store)


def test_store_that_was_never_opened_says_so(store: SqlStore) -> None:
    with pytest.raises(SchemaMismatch, match=r"open\(\)"):
        enqueue(store)


def test_tables_half_made_by_a_killed_process_are_made_anew(store: SqlStore) -> None:
    with store._engine.begin() as connection:
        store._schema.jobs.create(connection)
    store.open()
    enqueue(store)


def test_tables_with_rows_and_no_version_are_left_alone(store: SqlStore) -> None:
    store.open()
    enqueue(store)
    with store._engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {migrate.version_table(store._schema.prefix)}"))
    with pytest.raises(SchemaMismatch, match="restore it"):
        store.open()
    assert the_job(store)


def test_a_users_own_alembic_is_left_alone(store: SqlStore) -> None:
    with store._engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    store.open()
    with store._engine.begin() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == ["theirs"]
        connection.execute(text("DROP TABLE alembic_version"))


def test_making_the_tables_leaves_logging_as_it_is(store: SqlStore) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("alembic").level)
    store.open()
    assert (root.level, list(root.handlers), logging.getLogger("alembic").level) == before
    assert not logging.getLogger("celery").disabled


def test_alembic_is_not_imported_when_the_tables_are_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    program = (
        "import sys; from celery_jobtrack.strategies.sql import SqlStore; "
        f"store = SqlStore({url!r}); store.open(); store.close(); print('alembic' in sys.modules)"
    )
    for expected in ("True", "False"):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_waiting_for_another_migration_is_bounded(
    sql_server_url: str, sql_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 1)
    store, other = (SqlStore(sql_server_url, namespace=sql_namespace) for _ in range(2))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with other._engine.connect() as connection, migrate._locked(connection, other._schema.prefix):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        with pytest.raises(StoreUnavailable, match=r"lock|another process"):
            store.open()
    finally:
        done.set()
        holder.join()
        store.close()
        other.close()
