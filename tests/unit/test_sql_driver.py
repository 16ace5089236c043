"""Statements on the driver's own cursor: what SQLAlchemy would have done around them is done."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from celery_jobtrack.errors import ConfigurationError, InvalidPayload, SchemaMismatch
from celery_jobtrack.strategies.row import base
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.engine import make_engine
from celery_jobtrack.strategies.sql.urls import parse_url
from celery_jobtrack.testing.steps import enqueue, finish, group, start, the_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAYS = ["plain", "general"]


@pytest.fixture(scope="module")
def url(postgresql_server) -> str:
    return postgresql_server.new_database()


@pytest.fixture(params=WAYS)
def store(request: pytest.FixtureRequest, url: str, sql_namespace: str) -> Iterator[SqlStore]:
    store = SqlStore(url, namespace=sql_namespace)
    store.open()
    if request.param == "general":
        store._plain = None
    yield store
    store.close()


def end_sessions(store: SqlStore) -> None:
    """As a server does that is restarted: every connection of the pool is closed from the other end."""
    engine = make_engine(store._url)
    with engine.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    engine.dispose()


def test_pool_of_connections_that_the_server_ended_is_replaced(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together, when the first one is met: else there would be a conflict for each."""
    monkeypatch.setattr(base, "CONFLICTS", 2)
    enqueue(store)
    opened = [store._engine.connect() for _ in range(5)]
    for connection in opened:
        connection.close()
    end_sessions(store)
    assert start(store).admitted
    assert finish(store).applied


class TimeIsUp(Exception):
    pass


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises in the middle of whatever the main thread does then, as Celery's soft time limit does."""

    def up(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_connection_left_in_the_middle_of_an_answer_is_not_used_again(store: SqlStore, url: str) -> None:
    enqueue(store)
    other = SqlStore(url, namespace=store._schema.prefix.removeprefix("jobtrack_").removesuffix("_"))
    with other.transaction() as rows:
        rows.job("job", lock=True)
        with pytest.raises(TimeIsUp), time_limit(0.3):
            start(store)
    other.close()
    # Whether the server has written it nevertheless is not known, and does not matter.
    assert start(store).admitted
    assert the_job(store).attempts == 1
    assert finish(store).applied


@pytest.mark.parametrize("operation", [enqueue, start, finish])
def test_value_that_cannot_be_kept_is_refused(store: SqlStore, operation: Callable[..., object]) -> None:
    with pytest.raises(InvalidPayload):
        operation(store, "NUL \0")
    with pytest.raises(InvalidPayload):
        enqueue(store, "job", args=None, priority=2**40)


def test_tables_that_are_not_there_are_named(url: str) -> None:
    store = SqlStore(url, namespace="nothere")
    with pytest.raises(SchemaMismatch, match="jobtrack_nothere_jobs"):
        enqueue(store)
    store.close()


def test_reading_leaves_no_transaction_open(store: SqlStore) -> None:
    group(store)
    store.group("g")
    with store._engine.begin() as connection:
        idle = connection.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        )
    assert idle == 0


@pytest.mark.parametrize(("asked", "threshold"), [("none", None), ("None", None), ("0", 0), ("7", 7)])
def test_prepared_statements_are_as_the_url_says(url: str, asked: str, threshold: int | None) -> None:
    store = SqlStore(f"{url}?prepare_threshold={asked}", namespace="prepared")
    store.open()
    with store._engine.connect() as connection:
        assert connection.connection.driver_connection.prepare_threshold == threshold
    for number in range(8):
        enqueue(store, f"j{number}")
        start(store, f"j{number}", f"t{number}")
    with store._reader.connect() as connection:
        prepared = connection.connection.driver_connection.execute(
            "SELECT count(*) FROM pg_prepared_statements", prepare=False
        ).fetchone()[0]
    assert (prepared > 0) is (threshold is not None)
    for number in range(8):
        finish(store, f"j{number}", f"t{number}")
    store.close()


def test_prepare_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="prepare_threshold=often"):
        make_engine(parse_url("postgresql://u@h/d?prepare_threshold=often"))
