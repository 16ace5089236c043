"""Real workers and the process that sends append to the same log files."""

from __future__ import annotations

import json

import pytest

from tests.waiting import wait_until

BOUND = 40.0
RAN = ["enqueued", "started"]


@pytest.fixture
def logs(tmp_path):
    return tmp_path / "jobs.log", tmp_path / "errors.log"


@pytest.fixture
def shop(make_shop, logs):
    return make_shop(jobtrack_job_log=str(logs[0]), jobtrack_error_log=str(logs[1]))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def await_end(path, *jobs):
    """The lines of all jobs, once each of them has the line of its end."""
    ends = {"succeeded", "failed", "revoked", "skipped"}

    def ended():
        return {line["job_id"] for line in lines_of(path) if line["event"] in ends}

    wait_until(lambda: {job.id for job in jobs} <= ended(), BOUND, "not every end is in the log")
    return lines_of(path)


def test_every_process_writes_what_happens_to_its_jobs(shop, logs):
    jobs, errors = logs
    cancelled = shop.task("add").delay(1, 2)
    shop.jobtrack.cancel(cancelled.id)
    with shop.worker():
        sent = {
            name: shop.task(name).apply_async(args, kwargs)
            for name, args, kwargs in [
                ("add", (1, 2), {}),
                ("flaky", (1,), {}),
                ("ignore", (), {}),
                ("login", ("ann",), {"password": "hunter2"}),
                ("die", (), {}),
                ("hard", (), {}),
            ]
        }
        await_end(jobs, cancelled, *sent.values())
        # By a child that was forked after its parent had written.
        after = shop.task("add").delay(3, 4)
        lines = await_end(jobs, after)

    def events(job):
        return [line["event"] for line in lines if line["job_id"] == job.id]

    assert events(cancelled) == ["enqueued", "revoked"]
    assert {name: events(job) for name, job in sent.items()} == {
        "add": [*RAN, "succeeded"],
        "flaky": [*RAN, "retrying", "started", "succeeded"],
        "ignore": [*RAN, "skipped"],
        "login": [*RAN, "failed"],
        "die": [*RAN, "failed"],
        "hard": [*RAN, "failed"],
    }
    assert events(after) == [*RAN, "succeeded"]
    ran = [line for line in lines if line["event"] not in ("enqueued", "revoked")]
    assert {line["worker"] for line in ran} == {"w0@shop"}
    hard = next(line for line in lines if line["job_id"] == sent["hard"].id and line["event"] == "failed")
    assert hard["reason"] == "timeout"
    assert hard["runtime"] >= 1
    failed = {line["job_id"]: line for line in lines_of(errors)}
    assert set(failed) == {sent[name].id for name in ("login", "die", "hard")}
    login = failed[sent["login"].id]
    assert login["error"]["message"] == "ann cannot log in with password=…hidden…"
    assert "Traceback" in login["error"]["traceback"]
    assert "hunter2" not in jobs.read_text() + errors.read_text()


def test_a_lost_worker_is_written_into_files_that_were_moved_away(shop, logs):
    jobs, errors = logs
    with shop.worker() as first:
        job = shop.task("wait").delay("lost")
        shop.await_running("lost")
        first.kill_whole()
    jobs.rename(jobs.with_suffix(".1"))
    with shop.worker():
        await_end(jobs, job)
        wait_until(
            lambda: any(line["event"] == "worker_lost" for line in lines_of(errors)),
            BOUND,
            "the lost worker is not in the log",
        )
    assert [line["event"] for line in lines_of(jobs.with_suffix(".1"))] == RAN
    assert [line["event"] for line in lines_of(errors)] == ["failed", "worker_lost"]
    failed, gone = lines_of(errors)
    assert (failed["reason"], failed["worker"]) == ("worker_lost", "w0@shop")
    assert (gone["worker"], gone["jobs"]) == ("w0@shop", [job.id])
