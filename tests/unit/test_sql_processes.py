"""Several processes on one database, and processes that fork with a store open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.testing.steps import group, the_group
from tests.unit.sql_programs import CHILDREN

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 8
TRANSITIONS = 200
PROGRAMS = Path(__file__).with_name("sql_programs.py")


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(PROGRAMS), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> str:
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")
    return output


def test_many_processes_write_at_once_without_an_error(sql_url: str, sql_namespace: str) -> None:
    store = SqlStore(sql_url, namespace=sql_namespace)
    store.open()
    group(store)
    store.begin_filling("g", "f", 3600)
    running = [
        _start("transitions", sql_url, sql_namespace, f"p{number}", TRANSITIONS)
        for number in range(PROCESSES)
    ]
    for process in running:
        _finish(process)
    members = PROCESSES * TRANSITIONS // 4
    assert store.counts() == {JobState.SUCCESS: members}
    assert the_group(store).totals.succeeded == members
    assert store.recompute_group("g").repaired is None
    assert store.end_filling("g", "f").group.is_over
    store.close()


def test_many_processes_opening_a_new_database_make_it_once(sql_url: str, sql_namespace: str) -> None:
    running = [_start("transitions", sql_url, sql_namespace, f"p{number}", 0) for number in range(4)]
    for process in running:
        _finish(process)


@pytest.fixture
def opened(sql_url: str, sql_namespace: str) -> Iterator[SqlStore]:
    store = SqlStore(sql_url, namespace=sql_namespace)
    yield store
    store.close()


def test_parent_and_child_both_go_on_after_a_fork(opened: SqlStore, sql_url: str, sql_namespace: str) -> None:
    _finish(_start("fork", sql_url, sql_namespace))
    assert opened.counts() == {JobState.ENQUEUED: 1, JobState.SUCCESS: 100}


def test_forks_among_writing_threads_lose_nothing(opened: SqlStore, sql_url: str, sql_namespace: str) -> None:
    written = int(_finish(_start("fork_among_threads", sql_url, sql_namespace)))
    assert opened.counts() == {JobState.SUCCESS: written + CHILDREN * (20 + 1)}


def test_sqlite_file_is_whole_after_forks(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    _finish(_start("fork_among_threads", url, "default"))
    store = SqlStore(url)
    with store._reader.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()
