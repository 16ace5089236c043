"""``group``: looked at and cancelled."""

from __future__ import annotations

import pytest

from celery_jobtrack import TrackableTask
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
    assert set(answer) == {"group", "status", "outcome", "callbacks"}
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


@pytest.fixture
def failed_batch(shop):
    """A batch with callbacks of which one job has failed; its tasks are known."""
    told = shop.app.task(name="shop.told", shared=False)(nothing)
    member = shop.app.task(name="shop.member", base=TrackableTask, shared=False)(nothing)
    pending = shop.jobtrack.batch([member.s(), member.s()], title="Batch").allow_failures()
    made = pending.then(told.s(password="hunter2")).progress(told.s(), every=2).dispatch()
    first, second = (job.id for job in made.members().items)
    run(shop.store, first, group_id=made.id)
    run(shop.store, second, Outcome.FAILURE, group_id=made.id)
    return made


def nothing(*_, **__):
    return None


def test_group_shows_its_callbacks_and_what_it_came_to(shop, failed_batch):
    lines = shop.lines("group", failed_batch.id, columns=80)
    assert has_facts(lines, outcome="FAILED", kind="batch, sealed", state="COMPLETED")
    assert [line.split()[0] for line in lines[-3:]] == ["CALLBACK", "then", "progress"]
    assert lines[-2].split()[1:4] == ["not", "due", "shop.told"]
    found = shop.json("group", failed_batch.id)
    assert (found["outcome"], [each["kind"] for each in found["callbacks"]]) == (
        "FAILED",
        ["then", "progress"],
    )
    assert found["callbacks"][1]["every"] == 2


def test_group_does_not_show_what_its_callbacks_will_be_sent(shop, failed_batch):
    for command in (("group", failed_batch.id), ("groups",)):
        assert "hunter2" not in str(shop.json(*command))


def test_group_runs_again_what_failed(shop, failed_batch):
    assert shop.lines("group", failed_batch.id, "--retry-failed", "--error", "KeyError") == [
        "There is nothing to run again; nothing was changed."
    ]
    assert shop.lines("group", failed_batch.id, "--retry-failed") == ["1 job queued again."]
    found = shop.json("group", failed_batch.id, "--retry-failed")
    assert (found["retried"]["queued"], found["status"]["outstanding"]) == (0, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--cancel", "--retry-failed"), "do not go together"), (("--error", "X"), "--error goes with")],
)
def test_group_refuses_options_that_do_not_go_together(shop, options, said):
    result = shop.run("group", "g", *options)
    assert (result.exit_code, said in result.output) == (2, True)


@pytest.fixture
def _no_workers_answer(half_done, monkeypatch):
    ports = half_done.jobtrack.runtime.ports
    monkeypatch.setattr(ports, "consumed_queues", dict)
    monkeypatch.setattr(ports, "held_by_workers", frozenset)
    monkeypatch.setattr(ports, "queue_depth", lambda queue: 7)


@pytest.mark.usefixtures("_no_workers_answer")
def test_group_says_why_it_has_not_finished(half_done):
    assert half_done.lines("group", "nightly", "--why", columns=80) == [
        f"[red]Import[/red]  {LONG_ID}  RUNNING",
        "  2 of 4 jobs outstanding",
        "  it is looked at next in 50 s",
        "  j2  shop.resize  started 10 s ago on celery@one, which is not known any more:",
        "  the checker will close the attempt",
        "  j3  shop.resize  queued for 10 s on 'celery', nobody consumes that queue",
    ]


@pytest.mark.usefixtures("_no_workers_answer")
def test_group_says_why_in_json(half_done):
    answer = half_done.json("group", "nightly", "--why")
    assert (answer["group_id"], answer["is_finished"], answer["status"]["total"]) == (LONG_ID, False, 4)
    started, queued = answer["members"]
    assert (started["state"], started["worker"], started["is_worker_alive"]) == (
        "STARTED",
        "celery@one",
        False,
    )
    assert (queued["queue"], queued["ahead"], queued["queue_depth"]) == ("celery", 0, 7)


@pytest.mark.parametrize("other", ["--watch", "--members", "--cancel", "--retry-failed"])
def test_group_why_goes_alone(half_done, other):
    result = half_done.run("group", "nightly", "--why", other)
    assert result.exit_code == 2
    assert "--why does not go together" in result.stderr


def test_group_that_is_over_is_not_said_to_be_checked_or_to_have_completed_where_it_was_cancelled(shop):
    batch(shop.store, "b")
    assert "checked" in "\n".join(shop.lines("group", "b"))
    shop.store.cancel_group("b")
    assert "checked" not in "\n".join(shop.lines("group", "b"))
    assert shop.lines("group", "b", "--cancel") == [
        "The group had been cancelled before; nothing was changed."
    ]
