"""``job``: one job with all of its attempts."""

from __future__ import annotations

from datetime import datetime

import pytest
from kombu.exceptions import OperationalError

from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import enqueue, finish, retry, start
from tests.unit.cli_fixtures import LONG_ID, has_facts, new_shop

shop = pytest.fixture(new_shop, name="shop")
TRACEBACK = 'Traceback (most recent call last):\n\tFile "shop.py", line 1\n' + "x" * 100 + "\n^^^^\n"


def _failed_twice(store):
    enqueue(store, LONG_ID, args="('a.png',)", kwargs="{'size': 3}", tags=("vip", "[b]"), priority=3)
    start(store, LONG_ID, "t1")
    again = ErrorInfo(type="OSError", message="try again", traceback="first\n")
    retry(store, LONG_ID, "t1", 1, error=again)
    start(store, LONG_ID, "t2", retries=1)
    store.record_progress(LONG_ID, "t2", Progress(current=1, total=4, text="tiles\x1b[2J"))
    error = ErrorInfo(type="ValueError", message="no [red]picture[/red]\nat all", traceback=TRACEBACK)
    finish(store, LONG_ID, "t2", Outcome.FAILURE, error=error, retries=1)


def test_job_shows_what_is_known(shop):
    _failed_twice(shop.store)
    shop.time += 90
    lines = shop.lines("job", LONG_ID, columns=80)
    assert has_facts(
        lines,
        job=LONG_ID,
        task="shop.resize",
        state="FAILURE (error)",
        error="ValueError: no [red]picture[/red] at all",
        progress="25 % (1 of 4) tiles\\x1b[2J",
        args="('a.png',)",
        kwargs="{'size': 3}",
        tags="vip, [b]",
        priority="3",
        retries="1",
        finished="1 min ago  2027-01-15 08:00:00 UTC",
    )
    assert all(len(line) <= 80 for line in lines)


def test_job_lists_its_attempts(shop):
    _failed_twice(shop.store)
    lines = shop.lines("job", LONG_ID)
    table = lines.index("TRY  OUTCOME  WORKER      PID  STARTED  TOOK  ERROR")
    assert lines[table + 1 : table + 3] == [
        "  1  RETRY    celery@one   11  now      0 ms  OSError: try again",
        "  2  FAILURE  celery@one   11  now      0 ms  ValueError: no [red]picture[/red] at all",
    ]
    assert lines[-1] == "Add --traceback to see where it failed."


def test_job_shows_tracebacks_unwrapped(shop):
    _failed_twice(shop.store)
    text = "\n".join(shop.lines("job", LONG_ID, "--traceback", columns=80))
    assert "Attempt 1 failed with OSError:\nfirst\n" in text
    assert f"Attempt 2 failed with ValueError:\n{TRACEBACK.expandtabs(4).rstrip()}" in text


def test_job_without_error_says_nothing_of_tracebacks(shop):
    start(shop.store, "j", "t")
    assert shop.lines("job", "j")[-1].split()[:2] == ["1", "open"]
    assert shop.lines("job", "j", "--traceback")[-1] == "No traceback is kept."


def test_job_cuts_very_long_arguments_and_says_so(shop):
    enqueue(shop.store, "j", args="x" * 10_000)
    text = "\n".join(shop.lines("job", "j"))
    assert "x… (10,000 characters; --json prints all)" in text
    assert shop.json("job", "j")["job"]["args"] == "x" * 10_000


def test_job_as_json_has_its_attempts(shop):
    _failed_twice(shop.store)
    answer = shop.json("job", LONG_ID)
    assert set(answer) == {"job", "attempts", "lock"}
    assert answer["job"]["error"]["traceback"] == TRACEBACK
    assert [attempt["outcome"] for attempt in answer["attempts"]] == ["RETRY", "FAILURE"]
    assert datetime.fromisoformat(answer["attempts"][0]["started_at"]).tzinfo is not None


def test_job_that_was_never_recorded_is_exit_code_2(shop):
    said = "job 'nope\\x1b' was never recorded in namespace 'default'"
    assert shop.error("job", "nope\x1b", code=2) == said


def _revocations(shop, monkeypatch):
    asked = []
    monkeypatch.setattr(shop.app.control, "revoke", lambda ids, **how: asked.append((ids, how)))
    return asked


def test_job_cancel_of_a_queued_job_ends_it(shop, monkeypatch):
    asked = _revocations(shop, monkeypatch)
    enqueue(shop.store, "j", message=None)
    assert shop.lines("job", "j", "--cancel", "--terminate") == ["The job is cancelled: it will not start."]
    assert str(shop.store.job("j").reason) == "cancelled"
    assert shop.lines("job", "j", "--cancel") == ["The job had ended before (REVOKED); nothing was changed."]
    assert asked == []


def test_job_cancel_of_a_running_job_tells_it(shop, monkeypatch):
    asked = _revocations(shop, monkeypatch)
    start(shop.store, "j", "t")
    assert shop.lines("job", "j", "--cancel") == [
        "The job is running: it was told, and ends when its body looks at self.cancelled."
    ]
    assert asked == []
    assert shop.lines("job", "j", "--cancel", "--terminate") == [
        "The job is running: it was told, and its worker is asked to end it."
    ]
    assert asked == [(["j"], {"terminate": True, "signal": "SIGTERM"})]
    assert shop.store.job("j").cancel_requested


def test_job_cancel_as_json_gives_the_job_after_it(shop):
    enqueue(shop.store, "j", message=None)
    assert shop.json("job", "j", "--cancel")["job"]["state"] == "REVOKED"


def test_job_cancel_of_a_job_that_was_never_recorded_is_exit_code_2(shop):
    said = "job 'nope' was never recorded in namespace 'default', so it cannot be cancelled"
    assert shop.error("job", "nope", "--cancel", code=2) == said


def test_job_cancel_without_a_broker_says_that_it_is_recorded(shop, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("[Errno 111] Connection refused")

    monkeypatch.setattr(shop.app.control, "revoke", refuse)
    start(shop.store, "j", "t")
    said = "it is recorded, but the broker takes no message: [Errno 111] Connection refused"
    assert shop.error("job", "j", "--cancel", "--terminate", code=1) == said
    assert shop.store.job("j").cancel_requested


@pytest.mark.parametrize("command", ["job", "group"])
def test_terminate_goes_with_cancel(shop, command):
    result = shop.run(command, "j", "--terminate")
    assert result.exit_code == 2
    assert "--terminate goes with --cancel" in result.stderr


def test_job_forget_deletes_what_has_ended(shop):
    _failed_twice(shop.store)
    assert shop.lines("job", LONG_ID, "--forget") == [
        "The job is forgotten: nothing is known of it any more."
    ]
    assert shop.store.job(LONG_ID) is None
    said = f"job {LONG_ID!r} was never recorded in namespace 'default', so it cannot be forgotten"
    assert shop.error("job", LONG_ID, "--forget", code=2) == said


def test_job_forget_as_json_gives_the_job_as_it_was(shop):
    _failed_twice(shop.store)
    before = shop.json("job", LONG_ID)
    assert shop.json("job", LONG_ID, "--forget") == before
    assert shop.store.job(LONG_ID) is None
    assert "never recorded" in shop.error("job", LONG_ID, "--forget", "--json", code=2)


def test_job_forget_of_what_has_not_ended_is_an_error(shop):
    start(shop.store, "j", "t")
    said = "job j (shop.resize) is STARTED, and only what has ended can be forgotten; wait for its end, or "
    assert shop.error("job", "j", "--forget", code=1) == said + "cancel it first"
    assert shop.store.job("j").token == "t"


@pytest.mark.parametrize("other", ["--cancel", "--traceback", "--terminate"])
def test_job_forget_stands_alone(shop, other):
    start(shop.store, "j", "t")
    assert shop.run("job", "j", "--forget", other).exit_code == 2
    assert not shop.store.job("j").cancel_requested
