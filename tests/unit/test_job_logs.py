"""What is written to the job log and the error log."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone

import pytest

from celery_jobtrack.config import REDACTED, Settings
from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, RetryRequest, SettleRequest, Worker
from celery_jobtrack.model.state import JobState, Outcome, Reason
from celery_jobtrack.tracking.logs.job_logs import JobLogs
from celery_jobtrack.tracking.reaper import Reaper
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.apps import SmallApp
from tests.unit.tracking_fixtures import WORKER, World

ERROR = ErrorInfo(
    type="ValueError",
    message="no: password=hunter2",
    traceback="Traceback …\nValueError: no: password=hunter2",
)


class Logged(World):
    def __init__(self, folder, *, job_log=True, error_log=True):
        super().__init__()
        self.job_log, self.error_log = folder / "jobs.log", folder / "errors.log"
        self.logs = JobLogs(
            job_log=str(self.job_log) if job_log else None,
            error_log=str(self.error_log) if error_log else None,
            redact=REDACTED,
        )
        self.tracker = Tracker(self.store, self.ports, None, self.logs)

    def lines(self):
        return read(self.job_log)

    def errors(self):
        return read(self.error_log)

    def events(self):
        return [line["event"] for line in self.lines()]

    def iso(self):
        return datetime.fromtimestamp(self.clock.now, timezone.utc).isoformat(timespec="microseconds")

    def fail(self, request):
        finish = FinishRequest(start=request, outcome=Outcome.FAILURE, reason=Reason.ERROR, error=ERROR)
        self.tracker.finish(finish)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def world(tmp_path):
    made = Logged(tmp_path)
    yield made
    made.logs.close()


def test_a_jobs_events_are_lines_with_the_stores_times(world):
    group = world.group()
    world.enqueue("j", group_id=group.id, args="(1, …hidden…)", kwargs="{}")
    enqueued_at = world.iso()
    world.clock.advance(5)
    request = world.start("j")
    started_at = world.iso()
    world.clock.advance(2.5)
    world.finish(request)
    job = {"job_id": "j", "task": "t", "queue": "q", "group_id": "g", "args": "(1, …hidden…)", "kwargs": "{}"}
    common = {**job, "reason": None, "error": None}
    ran = {"worker": "celery@host", "attempt": 1}
    assert world.lines() == [
        {
            **common,
            "time": enqueued_at,
            "event": "enqueued",
            "state": "ENQUEUED",
            "worker": None,
            "attempt": None,
            "runtime": None,
        },
        {**common, **ran, "time": started_at, "event": "started", "state": "STARTED", "runtime": None},
        {**common, **ran, "time": world.iso(), "event": "succeeded", "state": "SUCCESS", "runtime": 2.5},
    ]
    assert world.errors() == []


def test_a_failure_is_in_both_logs_and_its_traceback_in_the_error_log(world):
    world.enqueue("j")
    request = world.start("j")
    world.fail(request)
    line = world.lines()[-1]
    assert (line["event"], line["reason"], line["worker"]) == ("failed", "error", "celery@host")
    assert line["error"] == {"type": "ValueError", "message": "no: password=…hidden…"}
    traceback = "Traceback …\nValueError: no: password=…hidden…"
    assert world.errors() == [{**line, "error": {**line["error"], "traceback": traceback}}]


def test_a_retry_is_a_line_with_the_error_and_the_time_of_the_attempt(world):
    world.enqueue("j")
    request = world.start("j")
    world.clock.advance(3)
    again = world.origin("j", retries=1)
    world.tracker.retry(RetryRequest(start=request, origin=again, outcome=Outcome.RETRY, error=ERROR))
    line = world.lines()[-1]
    assert (line["event"], line["time"], line["runtime"]) == ("retrying", world.iso(), 3.0)
    assert line["error"]["message"] == "no: password=…hidden…"
    assert world.errors() == []


def test_a_job_that_ends_without_an_attempt_has_no_worker_and_no_runtime(world):
    world.enqueue("j")
    request = world.start("j")
    again = world.origin("j", retries=1)
    world.tracker.retry(RetryRequest(start=request, origin=again, outcome=Outcome.RETRY, error=ERROR))
    world.clock.advance(60)
    world.tracker.cancel("j")
    line = world.lines()[-1]
    assert (line["event"], line["reason"]) == ("revoked", "cancelled")
    assert (line["worker"], line["runtime"], line["attempt"]) == (None, None, 1)


def test_a_lost_worker_and_its_jobs_are_in_both_logs(world):
    lost = Worker(id="w2", name="celery@lost", pid=2)
    world.store.register_worker(lost, 45)
    world.enqueue("j")
    world.start("j", worker=lost)
    world.clock.advance(4)
    world.die(lost)
    assert Reaper(world.tracker, Settings()).tick() == 1
    for lines in (world.lines(), world.errors()):
        failed, gone = lines[-2:]
        assert (failed["event"], failed["reason"], failed["worker"]) == (
            "failed",
            "worker_lost",
            "celery@lost",
        )
        assert failed["runtime"] == 4.0
        assert {**gone, "time": ""} == {
            "time": "",
            "event": "worker_lost",
            "worker": "celery@lost",
            "worker_id": "w2",
            "jobs": ["j"],
        }
        assert datetime.fromisoformat(gone["time"]).utcoffset() is not None


def test_a_failure_is_written_without_its_worker_when_that_cannot_be_asked(world, monkeypatch):
    world.enqueue("j")
    world.start("j")

    def away(job_id):
        raise StoreUnavailable(job_id)

    monkeypatch.setattr(world.tracker.announcer, "_attempts_of", away)
    settle = SettleRequest(
        origin=world.origin("j"), state=JobState.FAILURE, reason=Reason.TIMEOUT, worker_id=WORKER.id
    )
    world.tracker.settle(settle, tell=False)
    assert (world.events()[-1], world.lines()[-1]["worker"]) == ("failed", None)


def test_a_job_replaced_by_a_chain_is_not_enqueued_in_the_past(world):
    world.enqueue("j")
    request = world.start("j")
    world.finish(request, Outcome.REPLACED)
    line = world.lines()[-1]
    assert (line["event"], line["state"]) == ("enqueued", "ENQUEUED")
    # The store's clock stands far in the future, and this is of the machine's.
    assert line["time"] < world.lines()[0]["time"]


@pytest.mark.parametrize(("outcome", "event"), [(Outcome.SKIPPED, "skipped"), (Outcome.REVOKED, "revoked")])
def test_other_ends_are_lines(world, outcome, event):
    world.enqueue("j")
    world.finish(world.start("j"), outcome)
    assert world.events() == ["enqueued", "started", event]
    assert world.errors() == []


def test_jobs_that_stand_for_groups_are_not_written(world):
    world.tracker.enqueue(EnqueueRequest(origin=world.origin("g", task=GROUP_TASK)))
    assert world.lines() == []


def test_an_error_log_alone_has_jobs_read_for_failures_only(tmp_path):
    world = Logged(tmp_path, job_log=False)
    states = [state for state in JobState if world.logs.wants(state)]
    assert states == [JobState.FAILURE]
    world.enqueue("j")
    world.fail(world.start("j"))
    assert [line["event"] for line in world.errors()] == ["failed"]
    world.logs.close()


def test_a_line_holds_whatever_a_text_holds(world):
    odd = "ü\ud800\x1b[31m\n\u2028"
    world.enqueue("j", args=odd)
    assert world.lines()[0]["args"] == odd
    assert world.job_log.read_bytes().isascii()


def test_a_forked_child_opens_the_files_for_itself(world):
    world.enqueue("parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            world.logs.after_fork()
            os.closerange(3, 256)
            other = os.open(world.job_log.parent / "other", os.O_RDWR | os.O_CREAT)
            world.enqueue("child")
            status = int(os.fstat(other).st_size != 0)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    world.enqueue("parent again")
    assert [line["job_id"] for line in world.lines()] == ["parent", "child", "parent again"]


@pytest.fixture
def logged(tmp_path):
    made = SmallApp(
        task_always_eager=True,
        jobtrack_job_log=tmp_path / "logs" / "jobs.log",
        jobtrack_error_log=tmp_path / "logs" / "errors.log",
    )
    (tmp_path / "logs").mkdir()
    yield made
    made.close()


def test_an_app_writes_where_its_settings_say(logged, tmp_path):
    @logged.task(name="login")
    def login(user, password):
        raise ValueError(f"password={password}")

    login.delay("ann", password="hunter2")
    lines = read(tmp_path / "logs" / "jobs.log")
    assert [line["event"] for line in lines] == ["enqueued", "started", "failed"]
    assert "hunter2" not in (tmp_path / "logs" / "jobs.log").read_text()
    (error,) = read(tmp_path / "logs" / "errors.log")
    assert "Traceback" in error["error"]["traceback"]
    assert "hunter2" not in json.dumps(error)


def test_another_app_in_the_process_writes_nothing(logged, tmp_path):
    other = SmallApp(task_always_eager=True)

    @other.task(name="quiet")
    def quiet():
        pass

    quiet.delay()
    other.close()
    assert read(tmp_path / "logs" / "jobs.log") == []


def test_a_job_runs_on_when_the_folder_is_removed(logged, tmp_path, caplog):
    @logged.task(name="add")
    def add(x, y):
        return x + y

    assert add.delay(1, 2).get() == 3
    shutil.rmtree(tmp_path / "logs")
    assert [add.delay(1, n).get() for n in range(3)] == [1, 2, 3]
    warned = [r for r in caplog.records if "cannot be written" in r.getMessage()]
    assert len(warned) == 1


def test_a_log_that_breaks_fails_no_job(world, monkeypatch, caplog):
    monkeypatch.setattr(world.logs, "write", lambda *_: 1 / 0)
    world.enqueue("j")
    world.finish(world.start("j"))
    assert world.state("j") == "SUCCESS"
    assert "the log of jobs raised; the job goes on" in caplog.text
