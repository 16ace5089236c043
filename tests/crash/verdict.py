"""What must hold at the end of a round, whatever died. Each check gives what it found wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import JobState, Reason
from tests.crash.accounts import Problem, counters_right, events_delivered, events_once, no_attempt_open
from tests.crash.plan import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.crash.books import Books
    from tests.crash.faults import Strike
    from tests.crash.plan import Order, Plan


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that is known of a round."""

    plan: Plan
    strike: Strike
    sent: frozenset[str]
    refused: Mapping[str, str]
    books: Books
    bodies: Sequence[dict[str, Any]]
    listeners: Sequence[dict[str, Any]]


def judge(case: Case) -> list[Problem]:
    """All that is wrong."""
    return [problem for check in _CHECKS for problem in check(case)]


def _all_final(case: Case) -> Iterator[Problem]:
    """Every job whose dispatch returned is recorded, and every job that is recorded is final."""
    for order in case.plan.orders:
        job = case.books.jobs.get(order.id)
        if job is None:
            if order.id in case.sent:
                yield _problem("not recorded", order, "was dispatched, and the store does not know it")
        elif not job.is_final:
            yield _problem("not final", order, f"is {job.state}")
    for job_id in case.books.jobs.keys() - {order.id for order in case.plan.orders}:
        yield Problem(kind="unknown job", what=f"nobody dispatched {job_id}", job_id=job_id)


def _ended_rightly(case: Case) -> Iterator[Problem]:
    """A job ends as its body does, unless the fault excuses another end."""
    for order in case.plan.orders:
        job = case.books.jobs.get(order.id)
        if job is None or not job.is_final:
            continue
        ended = (job.state, job.reason)
        natural = (JobState.FAILURE, Reason.ERROR) if order.task == "broken" else (JobState.SUCCESS, None)
        if ended != natural and ended not in _excused(case, order):
            yield _problem("wrong end", order, f"ended as {job.state}({job.reason}): {job.error}")


def _excused(case: Case, order: Order) -> set[tuple[JobState, Reason]]:
    ends: set[tuple[JobState, Reason]] = set()
    if order.id in case.refused:
        ends.add((JobState.FAILURE, Reason.PUBLISH_FAILED))
    if order.task == "flaky" and case.plan.fault.of_broker:
        # Celery rejects a job whose retry it cannot publish.
        ends |= {(JobState.FAILURE, Reason.REJECTED), (JobState.FAILURE, Reason.PUBLISH_FAILED)}
    attempts = case.books.attempts.get(order.id, ())
    if order.may_rerun:
        return ends
    if attempts:
        last = attempts[-1]
        if last.pid in case.strike.pids and last.started_at.timestamp() <= case.strike.until:
            ends.add((JobState.FAILURE, Reason.WORKER_LOST))
    elif case.plan.fault in {Fault.CHILD, Fault.DELIVERY}:
        # Celery ends what it had handed to the child, also if that had not begun it.
        ends.add((JobState.FAILURE, Reason.WORKER_LOST))
    return ends


def _none_ran_twice(case: Case) -> Iterator[Problem]:
    """A body begins at most once for each value of ``retries``, unless the user allowed more."""
    begun = Counter((line["job"], line["retries"]) for line in case.bodies if line["phase"] == "begin")
    for order in case.plan.orders:
        for (job_id, retries), times in begun.items():
            if job_id == order.id and times > 1 and not order.may_rerun:
                yield _problem("ran twice", order, f"its body began {times} times with retries={retries}")


def _recorded_as_run(case: Case) -> Iterator[Problem]:
    """A success has a body that came to its end, and a body that nobody struck has its end recorded."""
    ended = {line["job"] for line in case.bodies if line["phase"] == "end" and line["how"] == "end"}
    for order in case.plan.orders:
        job = case.books.jobs.get(order.id)
        if job is not None and job.state is JobState.SUCCESS and order.id not in ended:
            yield _problem("never ran", order, "is recorded as a success, and its body never came to its end")


def _problem(kind: str, order: Order, what: str) -> Problem:
    group = "no group" if order.crowd is None else f"group {order.crowd}"
    about = f"{order.task} job {order.id} ({order.phase.name.lower()} the fault, {group}) {what}"
    return Problem(kind=kind, what=about, job_id=order.id)


_CHECKS: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _all_final,
    _ended_rightly,
    _none_ran_twice,
    _recorded_as_run,
    lambda case: no_attempt_open(case.books),
    lambda case: counters_right(case.books),
    lambda case: events_once(case.books, case.listeners),
    lambda case: events_delivered(case.books),
)
