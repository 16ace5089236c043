"""``group``: looked at and cancelled."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import batch, enqueue, group, run, start
from tests.unit.cli_fixtures import LONG_ID, has_facts, new_shop

shop = pytest.fixture(new_shop, name="shop")


@pytest.fixture
def half_done(shop):
    about = {"title": "[red]Import[/red]", "description": "all of it", "payload": {"source": "s3"}}
    group(shop.store, LONG_ID, key="nightly", created_at=shop.store.now(), **about)
    for number in range(4):
        enqueue(shop.store, f"j{number}", group_id=LONG_ID, message=None)
    run(shop.store, "j0", group_id=LONG_ID)
    run(shop.store, "j1", Outcome.FAILURE, group_id=LONG_ID)
    start(shop.store, "j2", "t2", group_id=LONG_ID)
    shop.time += 10
    return shop


@pytest.mark.parametrize("name", [LONG_ID, "nightly"])
def test_group_is_found_by_id_and_by_key(half_done, name):
    lines = half_done.lines("group", name, columns=80)
    assert has_facts(
        lines,
        group=LONG_ID,
        title="[red]Import[/red]",
        key="nightly",
        description="all of it",
        state="RUNNING",
        jobs="1 enqueued, 1 started, 1 succeeded, 1 failed",
        kind="standing group",
        payload='{"source": "s3"}',
        started="10 s ago  2027-01-15 08:00:00 UTC",
        finishes="within 2 min  about 2027-01-15 08:00:20 UTC",
    )
    assert any("50 %  2 of 4" in line for line in lines)


def test_group_lists_its_members(half_done):
    lines = half_done.lines("group", "nightly", "--members", columns=80)
    assert [line.split()[:2] for line in lines[-4:]] == [
        ["j3", "ENQUEUED"],
        ["j2", "STARTED"],
        ["j1", "FAILURE"],
        ["j0", "SUCCESS"],
    ]
    members = half_done.json("group", "nightly", "--members")["members"]
    assert [job["id"] for job in members["items"]] == ["j3", "j2", "j1", "j0"]


def test_group_with_many_members_says_how_to_see_the_others(shop):
    group(shop.store, "g")
    for number in range(51):
        enqueue(shop.store, f"j{number}", group_id="g")
    (more,) = [line for line in shop.lines("group", "g", "--members") if "There are more" in line]
    command = more.partition("jobtrack ")[2].split()
    assert [job["id"] for job in shop.json(*command)["items"]] == ["j0"]


def test_group_as_json_has_its_record_and_its_numbers(half_done):
    answer = half_done.json("group", "nightly")
    assert set(answer) == {"group", "status"}
    assert (answer["group"]["id"], answer["group"]["totals"]["total"]) == (LONG_ID, 4)
    status = answer["status"]
    assert (status["outstanding"], status["final"], status["percent"]) == (2, 2, 50.0)
    assert (status["enqueued"], status["started"], status["succeeded"], status["failed"]) == (1, 1, 1, 1)


def test_batch_says_what_it_is(shop):
    batch(shop.store, "b")
    assert has_facts(shop.lines("group", "b"), kind="batch, not sealed yet", jobs="no jobs yet")
    shop.store.seal_group("b", incomplete=True)
    kind = "batch, sealed, incomplete: its dispatch was abandoned half-way"
    assert has_facts(shop.lines("group", "b"), kind=kind, state="COMPLETED")


def test_group_in_its_second_generation_tells_its_lifetime(shop):
    group(shop.store, "g")
    run(shop.store, "j1", Outcome.FAILURE, group_id="g")
    run(shop.store, "j2", group_id="g")
    assert has_facts(shop.lines("group", "g"), generation="2", lifetime="2 jobs, 1 failed")


def test_cancel_says_what_it_did(half_done):
    said = ["The group is cancelled: 1 queued job ended, 1 running job told, 1 outstanding."]
    assert half_done.lines("group", "nightly", "--cancel") == said
    assert half_done.store.group(LONG_ID).state == "CANCELLED"
    assert half_done.store.job("j3").reason == "group_cancelled"
    again = half_done.lines("group", "nightly", "--cancel")
    assert again == ["The group had been cancelled before; nothing was changed."]


def test_cancel_ends_running_members_by_force_when_asked(half_done, monkeypatch):
    asked = []
    monkeypatch.setattr(half_done.app.control, "revoke", lambda ids, **how: asked.append((ids, how)))
    half_done.run("group", "nightly", "--cancel")
    assert asked == []
    (said,) = half_done.lines("group", "nightly", "--cancel", "--terminate")
    assert "1 running job told and to be ended by force, 1 outstanding" in said
    (running,) = [job.id for job in half_done.jobtrack.inspect.jobs(state="STARTED").items]
    assert asked == [([running], {"terminate": True, "signal": "SIGTERM"})]


def test_cancel_of_a_completed_group_changes_nothing(shop):
    group(shop.store, "g")
    run(shop.store, "j", group_id="g")
    said = ["The group had completed before; nothing was changed."]
    assert shop.lines("group", "g", "--cancel") == said
    assert shop.store.group("g").state == "COMPLETED"


def test_cancel_as_json_gives_the_group_after_it(half_done):
    answer = half_done.json("group", "nightly", "--cancel")
    assert answer["group"]["state"] == answer["status"]["state"] == "CANCELLED"


@pytest.mark.parametrize("arguments", [("group", "nope"), ("jobs", "--group", "nope")])
def test_group_that_is_not_recorded_is_exit_code_2(shop, arguments):
    said = "no group has the id or key 'nope' in namespace 'default'"
    assert shop.error(*arguments, code=2) == said


def test_watch_and_members_do_not_go_together(half_done):
    result = half_done.run("group", "nightly", "--watch", "--members")
    assert result.exit_code == 2
    assert "do not go together" in result.stderr
