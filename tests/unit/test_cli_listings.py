"""``jobs`` and ``groups``: filters, pages, and tables that fit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from celery_jobtrack.model.job import ErrorInfo, Progress
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import batch, enqueue, finish, group, retry, run, start
from tests.unit.cli_fixtures import LONG_ID, new_shop

shop = pytest.fixture(new_shop, name="shop")
TITLE_80 = "JOB                                   STATE    REASON  TASK         WHEN"


def test_jobs_says_that_there_are_none(shop):
    assert shop.lines("jobs") == ["No jobs are recorded."]
    assert shop.lines("jobs", "--state", "FAILURE") == ["No jobs match."]
    assert shop.json("jobs") == {"items": [], "cursor": None}


def test_jobs_shows_ids_whole_and_times_relative_in_80_columns(shop):
    run(shop.store, LONG_ID, Outcome.FAILURE)
    shop.time += 12
    assert shop.lines("jobs", columns=80) == [
        TITLE_80,
        f"{LONG_ID}  FAILURE  error   shop.resize  12 s ago",
    ]


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_jobs_never_cuts_an_id(shop, columns):
    ids = [LONG_ID, "a" * 60, "名" * 20]
    for job_id in ids:
        enqueue(shop.store, job_id, queue="a-queue-with-a-long-name", group_id=None)
    text = shop.run("jobs", columns=columns).stdout
    assert all(job_id in text for job_id in ids)


def test_jobs_gives_the_end_of_a_long_task_name(shop):
    enqueue(shop.store, LONG_ID, task="shop.imports.catalogue.very.long.name.import_everything")
    head, line = shop.lines("jobs", columns=80)
    assert "….import_everything" not in head
    assert "import_everything  now" in line
    assert len(line) <= 80


def test_jobs_takes_the_room_of_a_wide_terminal(shop):
    start(shop.store, LONG_ID, "t", task="shop.resize")
    error = ErrorInfo(type="ValueError", message="no\n  picture")
    finish(shop.store, LONG_ID, "t", Outcome.FAILURE, error=error)
    head, line = shop.lines("jobs", columns=140)
    assert head.split() == ["JOB", "STATE", "REASON", "TASK", "QUEUE", "TRIES", "TOOK", "ERROR", "WHEN"]
    assert "ValueError: no picture" in line


def test_jobs_cuts_nothing_where_there_is_no_terminal(shop):
    enqueue(shop.store, LONG_ID, task="shop." + "a" * 200, queue="q" * 200)
    text = shop.run("jobs").stdout
    assert "a" * 200 in text
    assert "q" * 200 in text


def test_jobs_shows_when_a_job_is_due_and_how_far_it_is(shop):
    later = datetime.fromtimestamp(shop.time, timezone.utc) + timedelta(minutes=5, seconds=30)
    enqueue(shop.store, "later", eta=later)
    start(shop.store, "busy", "t")
    shop.store.record_progress("busy", "t", Progress(current=1, total=4))
    assert shop.lines("jobs", columns=50) == [
        "JOB    STATE     TASK         DONE  WHEN",
        "busy   STARTED   shop.resize  25 %  now",
        "later  ENQUEUED  shop.resize        in 5 min",
    ]


def test_jobs_are_filtered(shop):
    group(shop.store, "g", key="nightly")
    run(shop.store, "good", task="shop.pay", tags=("vip",))
    run(shop.store, "bad", Outcome.FAILURE, queue="high")
    enqueue(shop.store, "member", group_id="g")

    def found(*arguments):
        return [job["id"] for job in shop.json("jobs", *arguments)["items"]]

    assert found() == ["member", "bad", "good"]
    assert found("--state", "failure") == ["bad"]
    assert found("--task", "shop.pay") == ["good"]
    assert found("--queue", "high") == ["bad"]
    assert found("--tag", "vip") == ["good"]
    assert found("--group", "g") == found("--group", "nightly") == ["member"]
    assert found("--task", "shop.pay", "--state", "FAILURE") == []


def test_jobs_since_takes_an_age_or_a_date(shop):
    shop.app.conf.timezone = "Europe/Berlin"
    enqueue(shop.store, "old")
    shop.time += 3600
    enqueue(shop.store, "new")
    middle = datetime.fromtimestamp(shop.time - 1800, timezone.utc)
    berlin = middle.astimezone(shop.app.timezone).replace(tzinfo=None)
    for since in ("30m", "30 min", middle.isoformat(), berlin.isoformat(), f"{middle:%FT%TZ}"):
        assert [job["id"] for job in shop.json("jobs", "--since", since)["items"]] == ["new"], since
    assert len(shop.json("jobs", "--since", "2h")["items"]) == 2


@pytest.mark.parametrize("command", ["jobs", "groups"])
def test_listing_goes_on_from_its_cursor(shop, command):
    for number in range(5):
        group(shop.store, f"g{number}")
        enqueue(shop.store, f"j{number}", group_id=f"g{number}")
    seen, cursor = [], []
    while True:
        page = shop.json(command, "--limit", "2", *cursor)
        seen += [item["id"] for item in page["items"]]
        if page["cursor"] is None:
            break
        assert shop.lines(command, "--limit", "2", *cursor)[-1].endswith(f"add --cursor {page['cursor']}")
        cursor = ["--cursor", page["cursor"]]
    assert [each[1:] for each in seen] == ["4", "3", "2", "1", "0"]


def test_groups_are_listed(shop):
    created = shop.store.now()
    group(shop.store, LONG_ID, title="Nightly import", key="nightly", created_at=created)
    batch(shop.store, "b", title="A batch", created_at=created)
    for number in range(3):
        run(shop.store, f"j{number}", Outcome.FAILURE if number else Outcome.SUCCESS, group_id="b")
    enqueue(shop.store, "open", group_id="b")
    shop.time += 7200
    assert shop.lines("groups", columns=140) == [
        "GROUP                                 STATE     TITLE           KEY      DONE  FAILED  WHEN",
        "b                                     RUNNING   A batch                   3/4       2  2 h ago",
        f"{LONG_ID}  AWAITING  Nightly import  nightly   0/0          2 h ago",
    ]
    assert [each["id"] for each in shop.json("groups", "--state", "running")["items"]] == ["b"]
    assert shop.lines("groups", "--state", "CANCELLED") == ["No groups match."]


def test_job_as_json_has_the_fields_of_its_record(shop):
    start(shop.store, "job", "t", tags=("a",), priority=5)
    retry(shop.store, "job", "t", 1, error=ErrorInfo(type="ValueError", message="no", traceback="tb"))
    (job,) = shop.json("jobs")["items"]
    assert set(job) == set(type(shop.store.job("job")).__dataclass_fields__)
    assert (job["state"], job["retries"], job["tags"]) == ("RETRY", 1, ["a"])
    assert datetime.fromisoformat(job["started_at"]) == shop.store.job("job").started_at
    assert job["started_at"].endswith("+00:00")


def test_what_jobs_are_called_cannot_move_the_cursor_or_be_markup(shop):
    evil = "shop.\x1b[31mred\x07\u202e[bold]x[/bold] :smile:\nnext"
    enqueue(shop.store, "j", task=evil)
    text = shop.run("jobs").stdout
    assert "shop.\\x1b[31mred\\x07\\u202e[bold]x[/bold] :smile:\\nnext" in text
    assert not set("\x1b\x07\u202e") & set(text)
    assert "\\u001b" in shop.run("jobs", "--json").stdout


def test_groups_say_what_each_came_to(shop):
    for name in ("good", "bad", "broken", "open"):
        batch(shop.store, name, title=name)
    run(shop.store, "j1", group_id="good")
    run(shop.store, "j2", Outcome.FAILURE, group_id="bad")
    run(shop.store, "j3", group_id="broken")
    enqueue(shop.store, "j4", group_id="broken")
    for name in ("good", "bad"):
        shop.store.seal_group(name)
    shop.store.seal_group("broken", incomplete=True)
    assert shop.lines("groups", columns=80) == [
        "GROUP   STATE      OUTCOME     TITLE   DONE  FAILED  WHEN",
        "open    AWAITING               open     0/0          now",
        "broken  RUNNING    INCOMPLETE  broken   1/2          now",
        "bad     COMPLETED  FAILED      bad      1/1       1  now",
        "good    COMPLETED  SUCCEEDED   good     1/1          now",
    ]
    found = {each["id"]: (each["outcome"], each["incomplete"]) for each in shop.json("groups")["items"]}
    assert found == {
        "good": ("SUCCEEDED", False),
        "bad": ("FAILED", False),
        "broken": (None, True),
        "open": (None, False),
    }


def test_groups_show_the_outcome_before_anything_else_where_there_is_little_room(shop):
    batch(shop.store, LONG_ID, title="A batch with a name", key="nightly")
    run(shop.store, "j1", Outcome.FAILURE, group_id=LONG_ID)
    shop.store.seal_group(LONG_ID)
    head, line = shop.lines("groups", columns=76)
    assert head.split() == ["GROUP", "STATE", "OUTCOME", "TITLE", "DONE"]
    assert line.split()[:3] == [LONG_ID, "COMPLETED", "FAILED"]
    assert len(line) <= 76


def test_a_very_long_error_does_not_widen_the_table_of_a_pipe(shop):
    start(shop.store, "bad", "t")
    finish(shop.store, "bad", "t", Outcome.FAILURE, error=ErrorInfo(type="ValueError", message="x" * 5000))
    run(shop.store, "good")
    assert all(len(line) < 300 for line in shop.lines("jobs"))
    assert "ValueError: xxx" in shop.run("jobs").stdout
    assert all(len(line) < 300 for line in shop.lines("job", "bad")[-4:])
    assert "(5,012 characters; --json prints all)" in " ".join(shop.run("job", "bad").stdout.split())
    assert len(shop.json("job", "bad")["job"]["error"]["message"]) == 5000
