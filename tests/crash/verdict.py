"""What must hold at the end of a round, whatever died. Each check gives what it found wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.state import JobState, Reason
from tests.crash.plan import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celery_jobtrack.model.job import JobRecord
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


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that must not be."""

    kind: str
    what: str
    job_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


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


def _no_attempt_open(case: Case) -> Iterator[Problem]:
    for order in case.plan.orders:
        job = case.books.jobs.get(order.id)
        open_ones = [attempt.number for attempt in case.books.attempts.get(order.id, ()) if attempt.is_open]
        if open_ones:
            yield _problem("open attempt", order, f"attempts {open_ones} are open")
        if job is not None and job.is_final and job.token is not None:
            yield _problem("open attempt", order, f"is {job.state} and names attempt {job.token} as open")


def _counters_right(case: Case) -> Iterator[Problem]:
    for group in case.books.groups:
        members = case.books.members[group.id]
        present = [job for job in members if job.generation == group.generation]
        for which, said, counted in (
            ("its present generation", group.totals, _count(present)),
            ("all generations", group.lifetime, _count(members)),
        ):
            if said != counted:
                what = f"{group.title!r} says of {which} {said}, its members are {counted}"
                yield Problem(kind="wrong counters", what=what)


def _count(members: Sequence[JobRecord]) -> Totals:
    totals = Totals(total=len(members))
    for job in members:
        if job.is_final:
            totals = totals.counting(job.state)
    return totals


def _events_once(case: Case) -> Iterator[Problem]:
    """Each generation with members has one started and one completed event, in this order."""
    heard: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in case.listeners:
        kinds = heard[line["group"], line["generation"]]
        if line["event"] not in kinds[f"{line['kind']} {line['phase']}"]:
            kinds[f"{line['kind']} {line['phase']}"].append(line["event"])
            kinds["order"].append(f"{line['kind']} {line['phase']}")
    for group in case.books.groups:
        if not case.books.members[group.id]:
            continue
        for generation in range(1, group.generation + 1):
            kinds = heard[group.id, generation]
            where = f"{group.title!r} ({group.id}), generation {generation} of {group.generation}"
            for kind in ("started", "completed"):
                ids = kinds[f"{kind} end"]
                if len(ids) != 1 or len(kinds[f"{kind} begin"]) != 1:
                    yield Problem(
                        kind=f"{kind} events",
                        what=f"{where}: heard {ids}, begun {kinds[f'{kind} begin']}",
                    )
            order = kinds["order"]
            if {"started end", "completed begin"} <= set(order) and order.index("started end") > order.index(
                "completed begin"
            ):
                yield Problem(
                    kind="events out of order", what=f"{where}: completed was told before started had been"
                )
        if not group.is_over:
            yield Problem(kind="not completed", what=f"{group.title!r} ({group.id}) is {group.state}")


def _events_delivered(case: Case) -> Iterator[Problem]:
    if case.books.events.pending or case.books.events.undeliverable:
        yield Problem(kind="undelivered events", what=str(case.books.events))


def _problem(kind: str, order: Order, what: str) -> Problem:
    group = "no group" if order.crowd is None else f"group {order.crowd}"
    about = f"{order.task} job {order.id} ({order.phase.name.lower()} the fault, {group}) {what}"
    return Problem(kind=kind, what=about, job_id=order.id)


_CHECKS: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _all_final,
    _ended_rightly,
    _none_ran_twice,
    _recorded_as_run,
    _no_attempt_open,
    _counters_right,
    _events_once,
    _events_delivered,
)
