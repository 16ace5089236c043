"""A process dies at any step between a member's end and the closing of its groups: nothing is lost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.requests import Origin
from celery_jobtrack.model.state import CallbackKind, GroupOutcome, Outcome
from celery_jobtrack.testing import Clock, steps
from tests.contract.mortal import NEVER, Died, Firm, Life, Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.backends import Backend

K = CallbackKind
ALL = (K.BEFORE, K.THEN, K.CATCH, K.FINALLY)
CALLBACKS = {
    Outcome.SUCCESS: {"before", "then", "finally"},
    Outcome.FAILURE: {"before", "catch", "finally"},
}


def filled(firm: Firm) -> None:
    """A batch in a batch; the inner one has the only job, which has been published."""
    firm.batch("outer", *ALL)
    firm.batch("inner", *ALL, parent_id="outer")
    steps.enqueue(firm.store, "a", task="member", group_id="inner")
    firm.store.seal_group("inner")
    firm.store.seal_group("outer")


def dies_in(firm: Firm, life: Life, work: Callable[[Process], None]) -> bool:
    """Whether the process that does this dies of it; its lease ends then."""
    process = firm.process(life)
    try:
        work(process)
    except Died:
        process.die()
        return True
    process.die()
    return False


def fatal_steps(backend: Backend) -> range:
    """The step at which the process dies: each in turn in memory, and a choice where that takes minutes."""
    return range(NEVER) if backend.name == "memory" else range(random.randrange(5), NEVER, 5)


def check(firm: Firm, outcome: Outcome) -> None:
    expected = {f"{group}-{kind}" for group in ("outer", "inner") for kind in CALLBACKS[outcome]}
    ran = {task: number for task, number in firm.runs.items() if task not in {"messages", "member"}}
    assert ran == dict.fromkeys(expected, 1)
    succeeded = outcome is Outcome.SUCCESS
    for group_id in ("outer", "inner"):
        group = firm.store.group(group_id)
        assert group.outcome is (GroupOutcome.SUCCEEDED if succeeded else GroupOutcome.FAILED)
        assert (group.outstanding, group.generation) == (0, 1)
    member = firm.store.job("inner")
    assert str(member.state) == ("SUCCESS" if succeeded else "FAILURE")
    assert succeeded or "first job a (member)" in member.error.message


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_death_after_the_last_member_loses_no_callback_and_runs_none_twice(
    backend: Backend, outcome: Outcome
) -> None:
    steps_taken = 0
    for fatal in fatal_steps(backend):
        clock = Clock()
        with backend.fresh(clock) as store:
            firm = Firm(store, clock)
            filled(firm)
            request = firm.process(Life(NEVER)).start(Origin(job_id="a", task="member", group_id="inner"))
            # The end itself is one step: what is told of here comes after it.
            life = Life(fatal + 1)
            died = dies_in(firm, life, lambda process: process.finish(request, outcome))  # noqa: B023
            firm.recover("outer")
            check(firm, outcome)
        steps_taken = life.taken
        if not died:
            break
    assert steps_taken > 10


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_death_of_a_process_that_runs_callbacks_closes_every_group(
    backend: Backend, outcome: Outcome
) -> None:
    for fatal in fatal_steps(backend):
        clock = Clock()
        with backend.fresh(clock) as store:
            firm = Firm(store, clock)
            filled(firm)
            firm.process(Life(NEVER)).run(Origin(job_id="a", task="member", group_id="inner"), outcome)
            died = dies_in(firm, Life(fatal), lambda process: process.work())
            firm.recover("outer")
            # A callback whose process died while it ran has run, and is not run again.
            check(firm, outcome)
        if not died:
            break
    assert fatal > 20


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_two_checkers_that_die_at_any_step_leave_the_rest_to_the_next(
    backend: Backend, outcome: Outcome
) -> None:
    for fatal in fatal_steps(backend):
        clock = Clock()
        with backend.fresh(clock) as store:
            firm = Firm(store, clock)
            filled(firm)
            request = firm.process(Life(NEVER)).start(Origin(job_id="a", task="member", group_id="inner"))
            assert dies_in(firm, Life(1), lambda process: process.finish(request, outcome))  # noqa: B023
            clock.advance(61)
            died = dies_in(firm, Life(fatal), lambda process: process.check())
            firm.recover("outer")
            check(firm, outcome)
        if not died:
            break
    assert fatal > 10
