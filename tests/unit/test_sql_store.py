from __future__ import annotations

import gc
import threading
import weakref
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.requests import GroupQuery, JobQuery
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.forks import ForkGate
from celery_jobtrack.testing.clock import Clock
from celery_jobtrack.testing.steps import enqueue, finish, group, run, start, the_job

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Table


def _rows(store: SqlStore, table: Table) -> int:
    with store._reader.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 30, "1; DROP TABLE", "²", " 1"])
def test_cursor_that_no_page_came_with_is_refused(sql_store: SqlStore, cursor: str) -> None:
    for page in (
        lambda: sql_store.jobs(JobQuery(cursor=cursor)),
        lambda: sql_store.groups(GroupQuery(cursor=cursor)),
    ):
        with pytest.raises(InvalidPayload, match="cursor"):
            page()


def test_pages_with_a_tag_give_every_job_once(sql_store: SqlStore) -> None:
    for number in range(7):
        enqueue(sql_store, f"j{number}", tags=("odd",) if number % 2 else ("even", "even"))
    query, found = JobQuery(tag="even", limit=2), []
    while True:
        page = sql_store.jobs(query)
        found += [job.id for job in page.items]
        if page.cursor is None:
            break
        query = JobQuery(tag="even", limit=2, cursor=page.cursor)
    assert found == ["j6", "j4", "j2", "j0"]
    assert the_job(sql_store, "j0").tags == ("even", "even")


def test_tags_that_come_after_the_start_are_found(sql_store: SqlStore) -> None:
    start(sql_store)
    enqueue(sql_store, tags=("late",))
    assert [job.id for job in sql_store.jobs(JobQuery(tag="late")).items] == ["job"]


def test_time_is_the_servers(sql_store: SqlStore) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=5)
    assert before < sql_store.now() < before + timedelta(seconds=60)


def test_message_goes_with_success_and_stays_with_failure(sql_store: SqlStore) -> None:
    for name in ("good", "bad"):
        enqueue(sql_store, name)
        start(sql_store, name, f"t-{name}")
    finish(sql_store, "good", "t-good")
    finish(sql_store, "bad", "t-bad", Outcome.FAILURE)
    assert (sql_store.message("good"), sql_store.message("bad")) == (None, b"m")


def test_fillers_that_died_are_taken_away_with_the_next(sql_url: str, sql_namespace: str) -> None:
    clock = Clock()
    store = SqlStore(sql_url, namespace=sql_namespace, clock_offset=clock.offset)
    store.open()
    group(store)
    for number in range(3):
        store.begin_filling("g", f"died-{number}", 10)
    clock.advance(11)
    store.begin_filling("g", "alive", 10)
    store.end_filling("g", "alive")
    assert _rows(store, store._schema.fillers) == 0
    store.close()


def test_released_lease_leaves_no_row(sql_store: SqlStore) -> None:
    sql_store.acquire_lease("checker", "me", 30)
    sql_store.release_lease("checker", "somebody")
    assert _rows(sql_store, sql_store._schema.leases) == 1
    sql_store.release_lease("checker", "me")
    assert _rows(sql_store, sql_store._schema.leases) == 0


def test_store_works_again_after_close(sql_store: SqlStore) -> None:
    sql_store.close()
    enqueue(sql_store)
    sql_store.close()
    assert the_job(sql_store)


def test_failed_transaction_leaves_nothing(sql_store: SqlStore) -> None:
    class Stopped(Exception):
        pass

    record = group(sql_store, "there")

    def write_and_fail() -> None:
        with sql_store.transaction() as rows:
            rows.insert_group(record.evolve(id="other"))
            raise Stopped

    with pytest.raises(Stopped):
        write_and_fail()
    assert sql_store.group("other") is None
    assert run(sql_store, "job").applied


def test_store_that_nobody_holds_is_let_go(tmp_path: Path) -> None:
    """What watches the forks of the process does not keep it."""
    store = SqlStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    store.open()
    store.close()
    watched = weakref.ref(store)
    del store
    gc.collect()
    assert watched() is None


def test_fork_waits_for_a_transaction_and_holds_up_the_next() -> None:
    gate = ForkGate()
    inside, leave, entered = threading.Event(), threading.Event(), threading.Event()

    def transaction() -> None:
        with gate.passing():
            inside.set()
            assert leave.wait(10)

    def next_transaction() -> None:
        with gate.passing():
            entered.set()

    first = threading.Thread(target=transaction)
    first.start()
    assert inside.wait(10)
    closing = threading.Thread(target=gate.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    leave.set()
    closing.join(10)
    assert not closing.is_alive()
    second = threading.Thread(target=next_transaction)
    second.start()
    assert not entered.wait(0.05)
    gate.open()
    assert entered.wait(10)
    for thread in (first, second):
        thread.join(10)
