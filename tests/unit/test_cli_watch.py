"""``group --watch`` where stdout is no terminal: a line for every change."""

from __future__ import annotations

import json

import pytest

from celery_jobtrack.cli import watch
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import batch, enqueue, finish, group, run, start
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")


@pytest.fixture
def meanwhile(shop, monkeypatch):
    """What happens between two looks: one step each time that the command sleeps."""
    steps = []

    def sleep(seconds):
        shop.time += seconds
        assert steps, "the group is watched on although nothing happens any more"
        steps.pop(0)()

    monkeypatch.setattr(watch.time, "sleep", sleep)
    return steps


def _three_jobs(shop):
    batch(shop.store, "g", title="Import")
    for number in range(3):
        enqueue(shop.store, f"j{number}", group_id="g", message=None)
    shop.store.seal_group("g")
    start(shop.store, "j0", "t0", group_id="g")


def test_watch_prints_a_line_for_every_change_until_the_end(shop, meanwhile):
    _three_jobs(shop)
    meanwhile += [
        lambda: finish(shop.store, "j0", "t0", group_id="g"),
        lambda: None,
        lambda: run(shop.store, "j1", Outcome.FAILURE, group_id="g"),
        lambda: run(shop.store, "j2", group_id="g"),
    ]
    assert shop.lines("group", "g", "--watch", columns=80) == [
        "08:00:00    0 %  0 of 3  RUNNING  2 enqueued, 1 started",
        "08:00:01   33 %  1 of 3  RUNNING  2 enqueued, 1 succeeded  1.0/s, up to 3 min left",
        "08:00:03   67 %  2 of 3  RUNNING  1 enqueued, 1 succeeded, 1 failed  40.0/min, up to 17 s left",
        "08:00:04  100 %  3 of 3  COMPLETED  2 succeeded, 1 failed  took 4.0 s",
    ]
    assert not meanwhile


def test_watch_as_json_is_one_object_per_line(shop, meanwhile):
    _three_jobs(shop)
    meanwhile += [lambda: None, lambda: shop.store.cancel_group("g")]
    meanwhile += [lambda: finish(shop.store, "j0", "t0", group_id="g")]
    meanwhile += [lambda: shop.jobtrack.groups.get("g").cancel()]
    lines = shop.lines("group", "g", "--watch", "--json", "--interval", "0.5")
    states = [json.loads(line) for line in lines]
    assert [status["state"] for status in states] == ["RUNNING", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert [status["final"] for status in states] == [0, 0, 1, 3]
    assert states[-1]["completed_at"] is not None
    assert states[-1]["percent"] == 100.0


def test_watch_of_a_completed_group_ends_at_once(shop, meanwhile):
    group(shop.store, "g")
    run(shop.store, "j", group_id="g")
    (line,) = shop.lines("group", "g", "--watch")
    assert line.endswith("100 %  1 of 1  COMPLETED  1 succeeded  took 0 ms")


def test_watch_ends_with_the_generation_that_it_began_with(shop, meanwhile):
    group(shop.store, "g")
    start(shop.store, "j", "t", group_id="g")

    def two_at_once():
        finish(shop.store, "j", "t", group_id="g")
        enqueue(shop.store, "next", group_id="g")

    meanwhile.append(two_at_once)
    assert shop.lines("group", "g", "--watch")[-1] == "Generation 1 has completed; generation 2 has begun."


def test_watch_says_that_a_group_is_being_filled(shop, meanwhile):
    group(shop.store, "g")
    shop.store.begin_filling("g", "token", 30)

    def complete():
        run(shop.store, "j", group_id="g")
        shop.store.end_filling("g", "token")

    meanwhile.append(complete)
    assert shop.lines("group", "g", "--watch")[0].endswith("AWAITING  no jobs yet  being filled")


def test_watch_and_cancel_go_together(shop, meanwhile):
    _three_jobs(shop)
    meanwhile.append(lambda: finish(shop.store, "j0", "t0", group_id="g"))
    first, *_, last = shop.lines("group", "g", "--cancel", "--watch")
    assert first == "The group is cancelled: 2 queued jobs ended, 1 running job told, 1 outstanding."
    assert "100 %  3 of 3  CANCELLED" in last


def test_watch_interrupted_is_exit_code_130(shop, monkeypatch):
    _three_jobs(shop)

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    result = shop.run("group", "g", "--watch")
    assert (result.exit_code, result.stderr) == (130, "")


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "soon"])
def test_watch_refuses_an_interval_that_is_none(shop, interval):
    assert shop.run("group", "g", "--watch", "--interval", interval).exit_code == 2
