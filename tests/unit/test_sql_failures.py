"""What callers learn when the database does not do what it should."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.strategies.sql import SqlStore, engine
from celery_jobtrack.testing.steps import enqueue, finish, start, the_job
from tests import missing_servers
from tests.servers import mariadb, postgresql
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server


@pytest.fixture(scope="module", params=[postgresql.start, mariadb.start], ids=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a test may break."""
    with missing_servers.running(request.param) as server:
        yield server


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_server_that_is_away_is_named_without_the_password(scheme: str) -> None:
    store = SqlStore(f"{scheme}://me:geheim@127.0.0.1:{free_port()}/jobs")
    assert "geheim" not in store.url
    assert "me:***@127.0.0.1" in store.url
    for operation in (store.open, store.now, lambda: enqueue(store), lambda: store.job("x")):
        with pytest.raises(StoreUnavailable) as caught:
            operation()
        error: BaseException | None = caught.value
        assert store.url in str(error)
        assert "check that the server runs" in str(error)
        while error is not None:
            assert "geheim" not in f"{error!r} {error}"
            error = error.__cause__ or error.__context__
    store.close()


def test_server_that_was_restarted_does_not_break_the_next_call(own_server: Server) -> None:
    store = SqlStore(own_server.new_database())
    store.open()
    enqueue(store)
    for _ in range(2):
        own_server.restart()
        assert store.job("job")
    own_server.restart()
    assert start(store).admitted
    own_server.restart()
    assert store.acquire_lease("name", "me", 5)
    assert finish(store).applied
    store.close()


def test_connection_lost_in_the_middle_makes_the_transaction_again(own_server: Server) -> None:
    store = SqlStore(own_server.new_database())
    store.open()
    calls = 0

    def work(rows: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            own_server.restart()
        return len(str(rows.now()))

    assert store._run(work)
    assert calls == 2
    store.close()


def test_server_that_is_frozen_is_given_up_in_time(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2)
    store = SqlStore(own_server.new_database())
    store.open()
    enqueue(store)
    own_server.pause()
    try:
        for operation in (lambda: store.job("job"), lambda: start(store)):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                operation()
            assert time.monotonic() - began < 15
    finally:
        own_server.resume()
    assert start(store).admitted
    store.close()


def test_database_that_does_not_exist_is_named(own_server: Server) -> None:
    store = SqlStore(own_server.url.replace("/postgres", "/nowhere").replace("/test", "/nowhere"))
    with pytest.raises(StoreUnavailable, match="nowhere"):
        store.open()
    store.close()


def test_file_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="folder"):
        SqlStore(f"sqlite:///{tmp_path / 'file' / 'jobs.db'}")


def test_folder_of_the_file_is_made(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'a' / 'b' / 'jobs.db'}")
    store.open()
    store.close()
    assert (tmp_path / "a" / "b" / "jobs.db").exists()


def test_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()
    store = SqlStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    with pytest.raises(
        StoreUnavailable, match=r"jobs\.db: unable to open database file; check that the file"
    ):
        store.open()
    store.close()


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("hello " * 1000)
    store = SqlStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.open()
    store.close()


def test_file_that_stays_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    store, other = SqlStore(url), SqlStore(url)
    store.open()
    with other.transaction():
        with pytest.raises(StoreUnavailable, match="locked"):
            enqueue(store)
        assert store.job("job") is None
    enqueue(store)
    assert the_job(store)
    store.close()
    other.close()


def test_errors_do_not_show_what_jobs_were_called_with(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    with pytest.raises(StoreUnavailable) as caught:
        enqueue(store, args="geheim")
    assert "geheim" not in str(caught.value)
    assert "geheim" not in str(caught.value.__cause__)
    store.close()
