import multiprocessing
import os
import signal
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RetryRequest,
    SettleRequest,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.tracking.entry import Entry
from celery_jobtrack.tracking.spool import Spool, SpoolFull
from tests.waiting import wait_until

WORKER = Worker(id="w1", name="celery@one", pid=7)
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc)
WHOLE = Origin(
    job_id="job",
    task="shop.resize",
    queue="q",
    priority=3,
    args="('ü\u2028',)",
    kwargs="{}",
    tags=("a", "b"),
    group_id="g",
    retries=2,
    max_retries=5,
    run=2,
    root_id="r",
    parent_id="p",
    eta=MOMENT,
    expires_at=MOMENT,
)
ERROR = ErrorInfo(type="ValueError", message="bad\nline", traceback="t\n")


def began(job_id="job", token="t1", retries=0):
    return StartRequest(
        origin=Origin(job_id=job_id, task="t", retries=retries), token=token, worker=WORKER, reruns=True
    )


REQUESTS = [
    EnqueueRequest(origin=WHOLE, message=b"\x00\xff"),
    EnqueueRequest(origin=Origin(job_id="x", task="t")),
    StartRequest(origin=WHOLE, token="t1", worker=WORKER, reruns=True),
    RetryRequest(start=began(), origin=WHOLE, message=b"m", outcome=Outcome.RETRY, error=ERROR),
    FinishRequest(start=began(), outcome=Outcome.FAILURE, reason=Reason.TIMEOUT, error=ERROR),
    FinishRequest(start=began(), outcome=Outcome.SUCCESS),
    SettleRequest(
        origin=WHOLE,
        state=JobState.REVOKED,
        reason=Reason.EXPIRED,
        error=ERROR,
        only_from=frozenset({JobState.RETRY}),
        worker_id="w1",
        outcome=Outcome.LOST,
        record_unknown=False,
    ),
]


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def replayed(spool):
    seen = []
    spool.replay(seen.append)
    return seen


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_entry_comes_back_as_it_was(request_):
    line = Entry(at=1.5, request=request_).dump()
    assert line.count(b"\n") == 1
    assert Entry.load(line) == Entry(at=1.5, request=request_)


def test_entry_of_a_newer_version_loses_only_what_is_unknown():
    line = Entry(at=1.0, request=REQUESTS[0]).dump().replace(b'"task"', b'"colour":1,"task"')
    assert Entry.load(line).request == REQUESTS[0]


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_entry_that_is_none_is_refused(line):
    with pytest.raises(ValueError):
        Entry.load(line)


def test_spool_is_empty_without_a_folder(spool):
    assert spool.is_empty()
    assert replayed(spool) == []
    assert not spool.folder.exists()


def test_spool_gives_back_what_it_kept_once(spool):
    for request in REQUESTS[:2]:
        spool.keep(request)
    assert not spool.is_empty()
    assert set(replayed(spool)) == set(REQUESTS[:2])
    assert spool.is_empty()
    assert list(spool.folder.iterdir()) == []


def test_spool_orders_the_facts_of_a_job_by_retries_and_time(spool):
    second = FinishRequest(start=began(token="t2", retries=1), outcome=Outcome.SUCCESS)
    first = RetryRequest(
        start=began(), origin=Origin(job_id="job", task="t", retries=1), outcome=Outcome.RETRY
    )
    enqueued = EnqueueRequest(origin=Origin(job_id="job", task="t"))
    for request in (second, enqueued, first):
        spool.keep(request)
    assert replayed(spool) == [enqueued, first, second]


def test_spool_leaves_out_a_start_whose_end_it_has(spool):
    end = FinishRequest(start=began(), outcome=Outcome.SUCCESS)
    other = began("other", "t9")
    for request in (began(), end, other):
        spool.keep(request)
    assert replayed(spool) == [end, other]


def test_spool_keeps_everything_when_the_store_is_away_again(spool):
    for request in REQUESTS[:2]:
        spool.keep(request)
    calls = []

    def record(request):
        calls.append(request)
        if len(calls) == 2:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        spool.replay(record)
    assert not spool.is_empty()
    assert set(replayed(spool)) == set(REQUESTS[:2])


def test_spool_sets_aside_what_is_no_entry_and_replays_the_rest(spool, caplog):
    spool.keep(REQUESTS[0])
    (file,) = spool.folder.iterdir()
    with file.open("ab") as opened:
        opened.write(b"\x00\x01 garbage\n")
    spool.keep(REQUESTS[1])
    with file.open("ab") as opened:
        opened.write(b'{"v":1,"cut of')
    assert set(replayed(spool)) == set(REQUESTS[:2])
    assert spool.is_empty()
    (bad,) = spool.folder.iterdir()
    assert bad.suffix == ".bad"
    assert bad.read_bytes() == b'\x00\x01 garbage\n{"v":1,"cut of\n'
    assert str(bad) in caplog.text


def test_spool_sets_aside_what_the_store_refuses(spool, caplog):
    for request in REQUESTS[:2]:
        spool.keep(request)

    def record(request):
        if request == REQUESTS[0]:
            raise ValueError("no such thing")

    assert spool.replay(record) == 1
    assert spool.is_empty()
    (bad,) = spool.folder.iterdir()
    assert Entry.load(bad.read_bytes()).request == REQUESTS[0]
    assert "no such thing" in caplog.text


def test_spool_is_bounded(tmp_path):
    spool = Spool(tmp_path, largest=500)
    spool.keep(REQUESTS[1])
    with pytest.raises(SpoolFull, match="500 bytes"):
        spool.keep(REQUESTS[0])
    assert replayed(spool) == [REQUESTS[1]]
    spool.keep(REQUESTS[1])


def test_spool_is_bounded_over_all_files_of_a_process(tmp_path):
    """Also when each replay takes the file away and the store is still not there."""
    spool = Spool(tmp_path, largest=2000)

    def away(_request):
        raise StoreUnavailable("away")

    def keep_and_fail():
        spool.keep(REQUESTS[0])
        with pytest.raises(StoreUnavailable):
            spool.replay(away)

    with pytest.raises(SpoolFull):
        any(keep_and_fail() for _ in range(50))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000


def test_spool_that_finds_the_disk_full_keeps_what_it_had(spool, monkeypatch):
    spool.keep(REQUESTS[0])
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:10]))
    with pytest.raises(OSError, match="no room for a whole entry"):
        spool.keep(REQUESTS[1])
    monkeypatch.undo()
    spool.keep(REQUESTS[3])
    assert set(replayed(spool)) == {REQUESTS[0], REQUESTS[3]}
    assert list(spool.folder.iterdir()) == []


def test_spool_goes_on_behind_a_line_that_a_crash_cut_off(spool, caplog):
    spool.keep(REQUESTS[0])
    (file,) = spool.folder.iterdir()
    with file.open("ab") as opened:
        opened.write(b'{"v":1,"cut of')
    spool.keep(REQUESTS[1])
    assert set(replayed(spool)) == {REQUESTS[0], REQUESTS[1]}
    (bad,) = spool.folder.iterdir()
    assert bad.read_bytes() == b'{"v":1,"cut of\n'


@pytest.mark.parametrize("name", ["777.jsonl", "777-x.replaying"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_spool_leaves_alone_what_is_no_file(spool, name, kind):
    spool.keep(REQUESTS[0])
    path = spool.folder / name
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/nowhere/at/all")
    assert replayed(spool) == [REQUESTS[0]]
    assert spool.is_empty()


def test_spool_sets_aside_a_line_that_is_nested_too_deep(spool):
    spool.keep(REQUESTS[0])
    (file,) = spool.folder.iterdir()
    with file.open("ab") as opened:
        opened.write(b"[" * 100_000 + b"\n")
    assert replayed(spool) == [REQUESTS[0]]


def test_spool_sets_a_line_aside_once_however_often_the_replay_is_begun(spool):
    spool.keep(REQUESTS[0])
    (file,) = spool.folder.iterdir()
    with file.open("ab") as opened:
        opened.write(b"garbage\n")

    def away(_request):
        raise StoreUnavailable("away")

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            spool.replay(away)
    assert replayed(spool) == [REQUESTS[0]]
    (bad,) = spool.folder.iterdir()
    assert bad.read_bytes() == b"garbage\n"


def test_spool_whose_folder_is_none_stops_nobody(tmp_path, caplog):
    path = tmp_path / "file"
    path.write_text("something else")
    spool = Spool(path)
    assert spool.is_empty()
    assert spool.is_empty()
    assert caplog.text.count("cannot be read") == 1
    with pytest.raises(OSError):
        spool.keep(REQUESTS[0])


def test_spool_keeps_to_itself(spool):
    spool.keep(REQUESTS[0])
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    (file,) = spool.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.filterwarnings("ignore:.* is multi-threaded:DeprecationWarning")  # pytest-xdist has a thread
def test_spool_of_a_replayer_that_was_killed_is_adopted(spool):
    spool.keep(REQUESTS[0])

    def die(_request):
        os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=spool.replay, args=(die,))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    assert not spool.is_empty()
    assert replayed(spool) == [REQUESTS[0]]


def test_spool_that_somebody_replays_is_left_to_it(spool):
    spool.keep(REQUESTS[0])
    other = Spool(spool.folder)
    seen = []

    def meanwhile(request):
        seen.append((request, replayed(other)))
        # Nobody waits for the replay to end.
        other.keep(REQUESTS[1])

    spool.replay(meanwhile)
    assert seen == [(REQUESTS[0], [])]
    assert replayed(spool) == [REQUESTS[1]]


def _write(folder, number, count):
    spool = Spool(folder)
    for n in range(count):
        spool.keep(EnqueueRequest(origin=Origin(job_id=f"{number}-{n}", task="t")))


@pytest.mark.filterwarnings("ignore:.* is multi-threaded:DeprecationWarning")  # pytest-xdist has a thread
def test_spool_loses_nothing_between_writers_and_replayers(spool):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(spool.folder, n, 150)) for n in range(4)]
    seen = []

    def look():
        spool.replay(lambda request: seen.append(request.origin.job_id))
        return not any(writer.is_alive() for writer in writers)

    for writer in writers:
        writer.start()
    wait_until(look, 60, "the writers did not end")
    spool.replay(lambda request: seen.append(request.origin.job_id))
    for writer in writers:
        writer.join()
    assert sorted(seen) == sorted(f"{n}-{i}" for n in range(4) for i in range(150))
    assert spool.is_empty()
