from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.requests import JobQuery
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.strategies.sql import types
from celery_jobtrack.testing.steps import enqueue, finish, group, start, the_group, the_job

if TYPE_CHECKING:
    from celery_jobtrack.strategies.sql import SqlStore

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=timezone.utc),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=timezone.utc),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        datetime(1, 1, 1, tzinfo=timezone.utc),
    ],
)
def test_moment_comes_back_exactly(sql_store: SqlStore, moment: datetime) -> None:
    enqueue(sql_store, eta=moment)
    found = the_job(sql_store).eta
    assert found == moment
    assert found.tzinfo is timezone.utc


def test_moment_of_another_zone_is_the_same_moment(sql_store: SqlStore) -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    enqueue(sql_store, eta=moment)
    assert the_job(sql_store).eta == moment


def test_key_of_255_bytes_is_kept(sql_store: SqlStore) -> None:
    longest = "ä" * 127 + "x"
    enqueue(sql_store, longest, task=longest, queue=longest, tags=(longest,))
    start(sql_store, longest, longest)
    assert the_job(sql_store, longest).token == longest
    assert [job.id for job in sql_store.jobs(JobQuery(tag=longest)).items] == [longest]


@pytest.mark.parametrize("field", ["queue", "task", "group_id", "tags"])
def test_key_that_is_too_long_is_refused_with_its_length(sql_store: SqlStore, field: str) -> None:
    long = "ä" * 128
    with pytest.raises(InvalidPayload, match="256 bytes"):
        enqueue(sql_store, "job", **{field: (long,) if field == "tags" else long})
    assert sql_store.job("job") is None


def test_id_that_is_too_long_is_refused_by_every_operation(sql_store: SqlStore) -> None:
    long = "x" * 256
    for operation in (
        lambda: enqueue(sql_store, long),
        lambda: start(sql_store, long),
        lambda: sql_store.job(long),
        lambda: group(sql_store, long),
        lambda: group(sql_store, "g", key=long),
        lambda: sql_store.acquire_lease(long, "me", 5),
        lambda: start(sql_store, "job", long),
    ):
        with pytest.raises(InvalidPayload, match="256 bytes"):
            operation()


@pytest.mark.parametrize("bad", ["nul \0 in it", "half a pair \ud83d"])
def test_key_that_is_no_text_is_refused(sql_store: SqlStore, bad: str) -> None:
    with pytest.raises(InvalidPayload, match="cannot be an id"):
        enqueue(sql_store, bad)


STRANGE = "emoji 🚀, NUL \0, half \ud83d of a pair, \\, ' and \""
VISIBLE = "emoji 🚀, NUL \\x00, half \\ud83d of a pair, \\, ' and \""


def test_text_that_a_database_would_refuse_is_written_out(sql_store: SqlStore) -> None:
    group(sql_store, title=STRANGE, description=STRANGE)
    enqueue(sql_store, args=STRANGE, kwargs=STRANGE)
    start(sql_store)
    sql_store.record_progress("job", "t1", Progress(current=1, text=STRANGE))
    assert the_job(sql_store).progress == Progress(current=1, text=VISIBLE)
    error = ErrorInfo(type=STRANGE, message=STRANGE, traceback=STRANGE)
    finish(sql_store, outcome=Outcome.FAILURE, error=error)
    job, record = the_job(sql_store), the_group(sql_store)
    assert job.error == ErrorInfo(type=VISIBLE, message=VISIBLE, traceback=VISIBLE)
    assert sql_store.attempts("job")[0].error == job.error
    assert {job.args, job.kwargs, record.title, record.description} == {VISIBLE}


def test_payload_comes_back_exactly(sql_store: SqlStore) -> None:
    payload = {STRANGE: [STRANGE, 1, 2.5, None, True, 2**70], "": {}}
    group(sql_store, payload=payload)
    assert the_group(sql_store).payload == payload


@pytest.mark.parametrize("payload", [{"x": object()}, {1, 2}, [float("nan")]])
def test_payload_that_is_no_json_is_refused(sql_store: SqlStore, payload: object) -> None:
    with pytest.raises(InvalidPayload, match="JSON"):
        group(sql_store, payload=payload)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_progress_without_end_is_refused(sql_store: SqlStore, number: float) -> None:
    start(sql_store)
    with pytest.raises(InvalidPayload, match="finite"):
        sql_store.record_progress("job", "t1", Progress(current=number))


def test_number_keeps_every_digit(sql_store: SqlStore) -> None:
    start(sql_store)
    progress = Progress(current=0.1 + 0.2, total=1e300)
    sql_store.record_progress("job", "t1", progress)
    assert the_job(sql_store).progress == progress


@pytest.mark.parametrize("size", [0, MEGABYTE, 5 * MEGABYTE])
def test_message_of_any_size_is_kept(sql_store: SqlStore, size: int) -> None:
    message = bytes(range(256)) * (size // 256)
    enqueue(sql_store, message=message)
    assert sql_store.message("job") == message


def test_number_that_no_column_holds_is_refused(sql_store: SqlStore) -> None:
    if sql_store.url.startswith("sqlite"):
        pytest.skip("SQLite keeps integers of any column in 64 bits")
    with pytest.raises(InvalidPayload):
        enqueue(sql_store, priority=2**40)


def test_naive_time_is_not_guessed() -> None:
    with pytest.raises(TypeError):
        types.to_microseconds(datetime(2026, 1, 1))  # noqa: DTZ001 - the point
