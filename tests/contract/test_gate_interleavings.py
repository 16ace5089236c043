"""Races at a gate: the second operation begins before the first commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.halt import HaltKind, gate_of
from celery_jobtrack.model.lock import Kind, Standing
from celery_jobtrack.model.requests import Refusal
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.keys import assert_free, claim, standings
from tests.contract.backends import ROW_NAMES
from tests.contract.interleaving import interleave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.row import RowStore
    from tests.contract.backends import Backend

LOW = {"queue": "low"}
GATE = gate_of(HaltKind.QUEUE, "low")

pytestmark = pytest.mark.parametrize("backend", ROW_NAMES, indirect=True)


@pytest.fixture
def store(backend: Backend) -> Iterator[RowStore]:
    with backend.fresh(Clock()) as store:
        for name in ("a", "b"):
            steps.enqueue(store, name, **LOW)
        yield store


def halt(store):
    return store.halt(HaltKind.QUEUE, "low")


def lift(store):
    return store.lift(HaltKind.QUEUE, "low")


def start(store, name="a"):
    return steps.start(store, name, f"t-{name}", **LOW)


def test_start_that_waited_for_a_lift_finds_the_gate_open(store):
    halt(store)
    lifted, started = interleave(store, lambda: lift(store), lambda: start(store))
    assert (lifted.applied, lifted.called) == (True, ())
    assert started.admitted
    assert standings(store, GATE) == {}


def test_start_that_waited_for_a_lift_makes_way_once(store):
    queued = claim(key="deadline:low", kind=Kind.QUEUE, until_start=True)
    for name in ("c", "d", "e"):
        steps.enqueue(store, name, **LOW, **queued)
    halt(store)
    _, started = interleave(
        store, lambda: lift(store), lambda: steps.start(store, "c", "tc", **LOW, **queued)
    )
    assert (started.admitted, started.called) == (True, ("d",))
    assert standings(store, "deadline:low") == {"d": Standing.CALLED, "e": Standing.WAITING}


def test_job_that_parked_before_a_lift_is_called_by_it(store):
    halt(store)
    started, lifted = interleave(store, lambda: start(store), lambda: lift(store))
    assert started.refusal is Refusal.PARKED
    assert lifted.called == ("a",)
    assert store.unpark("a").applied
    assert_free(store, GATE)


def test_start_beside_a_halt_goes_one_way_or_the_other(store):
    halted, started = interleave(store, lambda: halt(store), lambda: start(store))
    assert halted
    job = steps.the_job(store, "a")
    waits = job.state is JobState.WAITING
    assert waits is (started.refusal is Refusal.PARKED)
    assert lift(store).called == (("a",) if waits else ())
    # Whoever starts after it waits.
    halt(store)
    assert start(store, "b").refusal is Refusal.PARKED


def test_two_lifts_call_everybody_once(store):
    halt(store)
    for name in ("a", "b"):
        start(store, name)
    one, two = interleave(store, lambda: lift(store), lambda: lift(store))
    assert sorted([*one.called, *two.called]) == ["a", "b"]
    assert one.applied + two.applied == 1


def test_two_halts_are_one(store):
    one, two = interleave(store, lambda: halt(store), lambda: halt(store))
    assert sorted([one, two]) == [False, True]
    assert len(store.halts()) == 1


def test_job_cancelled_beside_a_lift_is_not_published(store):
    halt(store)
    start(store)
    cancelled, lifted = interleave(store, lambda: store.request_cancel("a"), lambda: lift(store))
    assert cancelled.applied
    assert not any(store.unpark(name).applied for name in lifted.called)
    assert store.called_jobs(10) == []
    assert_free(store, GATE)


def test_job_called_beside_a_cancellation_is_not_published(store):
    halt(store)
    start(store)
    lifted, cancelled = interleave(store, lambda: lift(store), lambda: store.request_cancel("a"))
    assert cancelled.applied
    assert not any(store.unpark(name).applied for name in lifted.called)
    assert_free(store, GATE)
