"""``prune``: what has been kept for long enough goes, and it says how much."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from celery_jobtrack import TrackableTask
from celery_jobtrack.cli.surface import Surface
from celery_jobtrack.model.requests import Worker
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import enqueue, group, run
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")
DAY = 86_400


def left(shop):
    return {job["id"] for job in shop.json("jobs")["items"]}


def test_prune_deletes_what_the_settings_say(shop):
    for number in range(3):
        run(shop.store, f"s{number}")
    run(shop.store, "f", Outcome.FAILURE)
    shop.time += 2 * DAY
    assert shop.lines("prune") == ["Deleted 3 jobs, 0 groups and 0 workers."]
    assert left(shop) == {"f"}
    assert shop.lines("prune") == ["Nothing was to be deleted."]


def test_prune_goes_by_what_tasks_declare(shop):
    @shop.app.task(base=TrackableTask, name="shop.resize", shared=False, retention={"success": None})
    def resize():
        pass

    run(shop.store, "s")
    run(shop.store, "other", task="shop.other")
    shop.time += 2 * DAY
    assert shop.lines("prune") == ["Deleted 1 job, 0 groups and 0 workers."]
    assert left(shop) == {"s"}


def test_prune_of_an_age_takes_everything_that_old(shop):
    group(shop.store, "g")
    run(shop.store, "s", group_id="g")
    run(shop.store, "f", Outcome.FAILURE)
    enqueue(shop.store, "queued")
    shop.store.register_worker(Worker(id="w", name="celery@w", pid=1), 1)
    shop.time += 60
    for event in shop.store.claim_events("x"):
        shop.store.acknowledge_event(event.id, "x")
    shop.time += 60
    shop.store.postpone_event(shop.store.claim_events("x")[0].id, "no", seconds=None)
    assert shop.lines("prune", "--older-than", "1h") == ["Nothing was to be deleted."]
    assert shop.json("prune", "--older-than", "1m") == {"jobs": 2, "groups": 1, "workers": 1, "locks": 0}
    assert left(shop) == {"queued"}


def test_prune_of_states_takes_only_those(shop):
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.SKIPPED):
        run(shop.store, outcome.value, outcome)
    shop.time += 60
    chosen = ("--state", "success", "--state", "SKIPPED")
    deleted = {"jobs": 2, "groups": 0, "workers": 0, "locks": 0}
    assert shop.json("prune", "--older-than", "0s", *chosen) == deleted
    assert left(shop) == {"FAILURE"}


def test_prune_counts_on_a_terminal(shop, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(Surface, "console", terminal)
    monkeypatch.setenv("TERM", "xterm")
    run(shop.store, "s")
    shop.time += 2 * DAY
    assert shop.run("prune").exit_code == 0
    shown = terminal.file.getvalue()
    assert "Deleting: 1 job, 0 groups and 0 workers …" in shown
    assert "Deleted 1 job, 0 groups and 0 workers." in shown


@pytest.mark.parametrize("arguments", [("--older-than", "soon"), ("--state", "STARTED")])
def test_prune_of_what_is_no_age_or_no_end_is_exit_code_2(shop, arguments):
    result = shop.run("prune", *arguments)
    assert result.exit_code == 2


def test_prune_with_a_wrong_declaration_is_exit_code_1(shop):
    @shop.app.task(base=TrackableTask, name="shop.resize", shared=False, retention={"succes": 3})
    def resize():
        pass

    said = shop.error("prune", code=1)
    assert said.startswith("task shop.resize: retention = ")
    assert "did you mean 'success'" in said
