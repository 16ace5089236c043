"""What a batch comes to, and which callbacks follow: as the how-to about batches has it in a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.requests import RedriveRequest
from celery_jobtrack.model.state import CallbackKind, Outcome
from tests.unit.tracking_fixtures import World

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "batches.md"
KINDS = (CallbackKind.THEN, CallbackKind.CATCH, CallbackKind.FINALLY)


def rows():
    text = PAGE.read_text()
    for line in text[text.index("| what became of it") :].splitlines()[2:]:
        if not line.startswith("|"):
            return
        what, outcome, *calls = (cell.strip() for cell in line.strip("|").split("|"))
        called = [kind for kind, mark in zip(KINDS, calls, strict=True) if mark]
        yield what, outcome.strip("`"), called


def fail(world, job_id):
    world.finish(world.start(job_id), Outcome.FAILURE)


def all_succeed(world):
    world.run("a")
    world.run("b")


def one_fails(world):
    fail(world, "a")
    world.run("b")


def sending_breaks_off(world):
    world.tracker.change_group(world.store.seal_group("g", incomplete=True))
    all_succeed(world)


def one_is_revoked(world):
    world.tracker.cancel("a")
    world.run("b")


def somebody_cancels(world):
    world.tracker.change_group(world.store.cancel_group("g"))
    for job_id in ("a", "b"):
        world.tracker.cancel(job_id)


def somebody_cancels_after_a_failure(world):
    fail(world, "a")
    world.tracker.change_group(world.store.cancel_group("g"))
    world.tracker.cancel("b")


def one_runs_again(world):
    world.tracker.redrive(RedriveRequest(job_id="a"))
    again = world.start_request("a", token="again", run=2)
    assert world.tracker.start(again).admitted
    world.finish(again)


def one_fails_and_succeeds_at_last(world):
    fail(world, "a")
    one_runs_again(world)
    world.run("b")


def one_of_two_failures_runs_again(world):
    fail(world, "a")
    fail(world, "b")
    world.ports.callbacks.clear()  # those of the first generation
    one_runs_again(world)
    assert world.store.group("g").generation == 2


COURSES = {
    "all members succeeded": all_succeed,
    "a member failed": one_fails,
    "sending broke off": sending_breaks_off,
    "members were revoked": one_is_revoked,
    "somebody cancelled it before": somebody_cancels,
    "somebody cancelled it after": somebody_cancels_after_a_failure,
    "a member failed and,": one_fails_and_succeeds_at_last,
    "no member failed": one_of_two_failures_runs_again,
}


def course_of(what):
    return max((name for name in COURSES if what.startswith(name)), key=len)


def test_every_row_has_its_course():
    assert [course_of(what) for what, _, _ in rows()] == list(COURSES)


@pytest.mark.parametrize(("what", "outcome", "called"), list(rows()))
def test_batch_comes_to_what_its_row_says(what, outcome, called):
    world = World()
    world.ports.tracker = world.tracker
    callbacks = tuple(Callback(kind=kind, number=0, task="t", signature="{}") for kind in KINDS)
    world.group(standing=False, callbacks=callbacks)
    for job_id in ("a", "b"):
        world.enqueue(job_id, group_id="g")
    if "broke off" not in what:
        world.tracker.change_group(world.store.seal_group("g"))
    COURSES[course_of(what)](world)
    assert str(world.store.group("g").outcome) == outcome
    assert {kind for kind, _ in world.ports.callbacks} == {str(kind) for kind in called}
