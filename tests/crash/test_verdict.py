"""The judge of the rounds is no yes-man: each thing that may go wrong is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.group import GroupRecord, Totals
from celery_jobtrack.model.job import Attempt, JobRecord
from celery_jobtrack.model.state import GroupState, JobState, Outcome, Reason
from tests.crash.books import Books
from tests.crash.faults import Strike
from tests.crash.plan import Fault, Order, Phase, draw
from tests.crash.verdict import Case, judge

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
HIT, UNHIT = 100, 200


def order(**changes):
    about = {"id": "j", "task": "slow", "phase": Phase.BEFORE, "crowd": 0, "seconds": 0.1}
    return Order(**{**about, **changes})


def job(**changes):
    about = {"id": "j", "task": "crash.slow", "state": JobState.SUCCESS, "group_id": "g", "generation": 1}
    return JobRecord(**{**about, **changes})


def attempt(**changes):
    about = {"token": "t", "job_id": "j", "number": 1, "worker_id": "w", "worker": "w1", "pid": UNHIT}
    about |= {"started_at": NOW, "outcome": Outcome.SUCCESS}
    return Attempt(**{**about, **changes})


def group(**changes):
    about = {
        "id": "g",
        "title": "group",
        "state": GroupState.COMPLETED,
        "created_at": NOW,
        "completed_at": NOW,
    }
    return GroupRecord(**{**about, "totals": Totals(total=1, succeeded=1), **changes})


def body(phase, retries=0):
    return {"job": "j", "phase": phase, "how": "end", "retries": retries, "pid": UNHIT}


def heard(kind, phase, event=None, generation=1):
    return {
        "group": "g",
        "kind": kind,
        "phase": phase,
        "event": event or f"{kind}-{generation}",
        "generation": generation,
    }


HEARD = [heard(kind, phase) for kind in ("started", "completed") for phase in ("begin", "end")]


def case(fault=Fault.WORKER, **changes):
    about = {
        "job": job(),
        "attempt": attempt(),
        "group": group(),
        "order": order(),
        "events": EventCounts(),
        "strike": Strike(pids=frozenset({HIT}), until=NOW.timestamp() + 1),
        "sent": frozenset({"j"}),
        "refused": {},
        "bodies": [body("begin"), body("end")],
        "listeners": HEARD,
    } | changes
    recorded = about.pop("job")
    books = Books(
        jobs={"j": recorded} if recorded else {},
        attempts={"j": [about.pop("attempt")]},
        groups=[about.pop("group")],
        members={"g": [recorded] if recorded else []},
        events=about.pop("events"),
        read_at=0.0,
    )
    plan = replace(draw(1, 1, "postgresql", fault=fault.value), orders=(about.pop("order"),))
    return Case(plan=plan, books=books, **about)


LOST = {"state": JobState.FAILURE, "reason": Reason.WORKER_LOST}
FAILED = group(totals=Totals(total=1, failed=1))

GOOD = {
    "as it should be": {},
    "lost with its worker": {"job": job(**LOST), "attempt": attempt(pid=HIT), "group": FAILED},
    "failed on purpose": {
        "order": order(task="broken"),
        "job": job(state=JobState.FAILURE, reason=Reason.ERROR),
        "group": FAILED,
    },
    "not published": {
        "job": job(state=JobState.FAILURE, reason=Reason.PUBLISH_FAILED),
        "group": FAILED,
        "refused": {"j": "no broker"},
        "sent": frozenset(),
    },
    "neither sent nor recorded": {
        "job": None,
        "sent": frozenset(),
        "refused": {"j": "no store"},
        "group": group(totals=Totals()),
    },
    "a late job that ran again": {
        "order": order(task="late"),
        "bodies": [body("begin"), body("begin"), body("end")],
    },
    "a retried job": {"bodies": [body("begin"), body("begin", retries=1), body("end", retries=1)]},
    "an event told again": {"listeners": [*HEARD, *HEARD[2:]]},
}

BAD = {
    "not recorded": {"job": None, "group": group(totals=Totals())},
    "not final": {"job": job(state=JobState.ENQUEUED), "group": group(totals=Totals(total=1))},
    "wrong end": {"job": job(**LOST), "group": FAILED},
    "ran twice": {"bodies": [body("begin"), body("begin"), body("end")]},
    "never ran": {"bodies": [body("begin")]},
    "open attempt": {"attempt": attempt(outcome=None)},
    "wrong counters": {"group": group(totals=Totals(total=2, succeeded=2))},
    "completed events": {"listeners": HEARD[:2]},
    "started events": {"listeners": [*HEARD, heard("started", "begin", "x"), heard("started", "end", "x")]},
    "events out of order": {"listeners": [*HEARD[2:], *HEARD[:2]]},
    "not completed": {"group": group(state=GroupState.RUNNING, completed_at=None)},
    "undelivered events": {"events": EventCounts(pending=1)},
}


@pytest.mark.parametrize("name", GOOD)
def test_judge_finds_nothing_wrong_with(name):
    assert judge(case(**GOOD[name])) == []


@pytest.mark.parametrize("kind", BAD)
def test_judge_finds(kind):
    assert {problem.kind for problem in judge(case(**BAD[kind]))} == {kind}


def test_judge_finds_a_late_job_that_was_lost_and_not_run_again():
    lost = {"job": job(**LOST), "attempt": attempt(pid=HIT), "group": FAILED, "order": order(task="late")}
    assert [problem.kind for problem in judge(case(**lost))] == ["wrong end"]


def test_judge_finds_a_job_given_up_that_began_after_its_worker_went_on():
    late = datetime.fromtimestamp(NOW.timestamp() + 2, timezone.utc)
    lost = {"job": job(**LOST), "attempt": attempt(pid=HIT, started_at=late), "group": FAILED}
    assert [problem.kind for problem in judge(case(**lost))] == ["wrong end"]


def test_judge_finds_an_event_missing_in_an_earlier_generation():
    second = [heard(line["kind"], line["phase"], generation=2) for line in HEARD]
    two = {"group": group(generation=2), "job": job(generation=2), "listeners": second}
    assert [problem.kind for problem in judge(case(**two))] == ["started events", "completed events"]


def test_plan_is_drawn_the_same_again_and_otherwise_for_another_round():
    assert draw(7, 3, "postgresql") == draw(7, 3, "postgresql")
    assert draw(7, 3, "postgresql").orders != draw(7, 4, "postgresql").orders
    assert draw(7, 3, "postgresql", fault="beat").orders == draw(7, 3, "postgresql", fault="child").orders
