"""What must hold of any books that were closed in order, whatever the round was."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.group import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from tests.crash.books import Books


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that must not be."""

    kind: str
    what: str
    job_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def no_attempt_open(books: Books) -> Iterator[Problem]:
    """Nobody is at work any more."""
    for job in books.jobs.values():
        open_ones = [attempt.number for attempt in books.attempts.get(job.id, ()) if attempt.is_open]
        about = f"{job.task} job {job.id}"
        if open_ones:
            yield Problem(kind="open attempt", what=f"{about}: attempts {open_ones} are open", job_id=job.id)
        if job.is_final and job.token is not None:
            what = f"{about} is {job.state} and names attempt {job.token} as open"
            yield Problem(kind="open attempt", what=what, job_id=job.id)


def counters_right(books: Books) -> Iterator[Problem]:
    """A group's numbers are those of its members."""
    for group in books.groups:
        members = books.members[group.id]
        present = [job for job in members if group.counts(job.generation)]
        for which, said, counted in (
            ("its present generation", group.totals, count(present)),
            ("all generations", group.lifetime, count(members)),
        ):
            if said != counted:
                what = f"{group.title!r} ({group.id}) says of {which} {said}, its members are {counted}"
                yield Problem(kind="wrong counters", what=what)


def count(members: Iterable[JobRecord]) -> Totals:
    """The numbers of these members."""
    members = list(members)
    totals = Totals(total=len(members))
    for job in members:
        if job.is_final:
            totals = totals.counting(job.state)
    return totals


def events_once(
    books: Books, listeners: Sequence[dict[str, Any]], *, of_empty: bool = False
) -> Iterator[Problem]:
    """Each generation has one started and one completed event, in this order.

    Args:
        books: What the store says.
        listeners: What the listeners wrote down.
        of_empty: Whether groups that never had a member have events, too: those that are sealed.
    """
    heard: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in listeners:
        kinds = heard[line["group"], line["generation"]]
        if line["event"] not in kinds[f"{line['kind']} {line['phase']}"]:
            kinds[f"{line['kind']} {line['phase']}"].append(line["event"])
            kinds["order"].append(f"{line['kind']} {line['phase']}")
    for group in books.groups:
        if not books.members[group.id] and not of_empty:
            continue
        for generation in range(1, group.generation + 1):
            yield from _of_one_generation(group, generation, heard[group.id, generation])
        if not group.is_over:
            yield Problem(kind="not completed", what=f"{group.title!r} ({group.id}) is {group.state}")


def _of_one_generation(group: GroupRecord, generation: int, kinds: dict[str, list[str]]) -> Iterator[Problem]:
    where = f"{group.title!r} ({group.id}), generation {generation} of {group.generation}"
    for kind in ("started", "completed"):
        ids = kinds[f"{kind} end"]
        if len(ids) != 1 or len(kinds[f"{kind} begin"]) != 1:
            what = f"{where}: heard {ids}, begun {kinds[f'{kind} begin']}"
            yield Problem(kind=f"{kind} events", what=what)
    order = kinds["order"]
    if {"started end", "completed begin"} <= set(order) and order.index("started end") > order.index(
        "completed begin"
    ):
        what = f"{where}: completed was told before started had been"
        yield Problem(kind="events out of order", what=what)


def events_delivered(books: Books) -> Iterator[Problem]:
    """No event waits, and none was given up."""
    if books.events.pending or books.events.undeliverable:
        yield Problem(kind="undelivered events", what=str(books.events))
