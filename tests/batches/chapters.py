"""What is known of each generation of each group, from the books, the snapshots and the acts."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.group import GROUP_TASK
from celery_jobtrack.model.state import GroupState, JobState
from tests.batches.plan import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from tests.batches.course import Snapshot
    from tests.batches.kills import Killed
    from tests.batches.plan import Plan
    from tests.crash.books import Books


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that is known of a run."""

    plan: Plan
    books: Books
    snapshots: Sequence[Snapshot]
    killed: Killed
    bodies: Sequence[dict[str, Any]]
    listeners: Sequence[dict[str, Any]]
    acts: Sequence[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time in which a call took effect: it had begun, and it had not returned."""

    began: float
    ended: float = math.inf

    def overlaps(self, since: float, until: float) -> bool:
        """Whether it may have taken effect then. One that never returned did so at once, or never."""
        return self.began <= until and since <= (self.began if self.ended == math.inf else self.ended)


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One generation of one group, when it was over. Times are seconds since the epoch."""

    batch: Batch
    record: GroupRecord
    members: Sequence[JobRecord]
    """Those that it counts."""
    since: float = 0.0
    """When the generation before had been over for sure, and this one was asked for."""
    ended_before: int = 0
    """How many members had ended when it was."""
    again: frozenset[str] = frozenset()
    """Members of it that have run again since then."""
    lacks: bool = False
    """Whether it began with less than all of its members, and nobody has added the others."""
    cancels: Sequence[Window] = ()
    """Calls that cancelled it."""
    abandons: Sequence[float] = ()
    """When the iterable of its members raised, or whoever read it died."""
    orphaned: bool = False
    """Whether whoever dispatched it died: when it was sealed as incomplete is not known then."""
    above: Sequence[Chapter] = ()
    """Those of the groups above, at the same time."""

    @property
    def is_cancelled(self) -> bool:
        return self.record.state is GroupState.CANCELLED

    @property
    def completed_at(self) -> float:
        at = self.record.completed_at
        return math.inf if at is None else at.timestamp()

    @property
    def failures(self) -> list[float]:
        """When its members failed for good, or its dispatch did."""
        failed = [ended_at(job) for job in self.members if job.state is JobState.FAILURE]
        return sorted([*(at for at in failed if at > self.since), *self.abandons])

    @property
    def new_ends(self) -> list[JobRecord]:
        """Members that ended in this generation and not before."""
        return [job for job in self.members if job.is_final and ended_at(job) > self.since]

    def cancelled_from(self) -> float:
        """The earliest moment at which it may have been cancelled; infinite if by nothing that is known."""
        moments = [window.began for window in self.cancels]
        if not self.batch.allow_failures:
            moments += self.failures[:1]
        moments += [chapter.cancelled_from() for chapter in self.above if chapter.is_cancelled]
        return min(moments, default=math.inf)


def ended_at(job: JobRecord) -> float:
    """When a job ended; infinite if it has not."""
    return math.inf if job.finished_at is None else job.finished_at.timestamp()


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """A group as it was read at a moment."""

    at: float
    record: GroupRecord
    members: Sequence[JobRecord]


class Chapters:
    """All chapters of a case."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._batches = case.plan.all_batches()
        self._groups = {group.id: group for group in case.books.groups}
        self._cancels = _windows(case.acts)
        self._abandons = self._abandoned()
        self._orphans = self._orphaned()
        self._additions = self._broken_additions()
        self._found: dict[str, list[Chapter]] = {}
        self.missing: list[tuple[GroupRecord, int]] = []
        """Generations of which there is no snapshot: nobody asked for the one after."""
        for group in case.books.groups:
            self._of(group)

    def __iter__(self) -> Iterator[Chapter]:
        return (chapter for chapters in self._found.values() for chapter in chapters)

    def of(self, group_id: str) -> Sequence[Chapter]:
        """The generations of a group that are known, in order."""
        return self._found.get(group_id, ())

    def _of(self, group: GroupRecord) -> list[Chapter]:
        if group.id in self._found:
            return self._found[group.id]
        above = []
        if group.parent_id in self._groups:
            parents = self._of(self._groups[group.parent_id])
            above = [*parents, *(higher for chapter in parents for higher in chapter.above)]
        found = self._found[group.id] = []
        stages = self._stages(group)
        for number in range(1, group.generation + 1):
            if number not in stages:
                self.missing.append((group, number))
                continue
            since = stages[number - 1].at if number - 1 in stages else 0.0
            found.append(self._chapter(stages[number], found[-1] if found else None, since, above))
        return found

    def _stages(self, group: GroupRecord) -> dict[int, _Stage]:
        stages = {
            snapshot.groups[group.id].generation: _Stage(
                at=snapshot.at, record=snapshot.groups[group.id], members=snapshot.members[group.id]
            )
            for snapshot in sorted(self._case.snapshots, key=lambda snapshot: snapshot.at)
            if group.id in snapshot.groups
        }
        books = self._case.books
        last = _Stage(at=books.read_at, record=group, members=books.members[group.id])
        return {**stages, group.generation: last}

    def _chapter(
        self, stage: _Stage, before: Chapter | None, since: float, above: Sequence[Chapter]
    ) -> Chapter:
        record = stage.record
        counted = [job for job in stage.members if record.counts(job.generation)]
        until = math.inf if record.completed_at is None else record.completed_at.timestamp()
        died = self._orphans.get(record.title, math.inf)
        orphaned = record.incomplete and (since <= died <= until if before else died < math.inf)
        abandons = [*self._abandons.get(record.title, ())] if before is None else []
        if record.incomplete:  # it is not where somebody had cancelled before
            abandons += [at for at in self._additions.get(record.title, ()) if since <= at <= until]
        if orphaned:
            abandons.append(self._orphans[record.title])
        runs = {job.id: job.run for job in before.members} if before is not None else {}
        return Chapter(
            batch=self._batches[record.title],
            record=record,
            members=counted,
            since=since,
            ended_before=0 if before is None else len(before.members),
            lacks=before is not None and self._lacks(before.record, record, since, until),
            again=frozenset(job.id for job in counted if job.id in runs and job.run > runs[job.id]),
            cancels=[each for each in self._cancels[record.title] if each.overlaps(since, until)],
            abandons=abandons,
            orphaned=orphaned,
            above=[each for each in above if each.since <= until and since <= each.completed_at],
        )

    def _lacks(self, before: GroupRecord, record: GroupRecord, since: float, until: float) -> bool:
        """Who reopened it may have died before all was added: the record tells that."""
        reopened = any(
            line["act"] == "reopen" and line["target"] == record.title and since <= line["at"] <= until
            for line in self._case.acts
        )
        return before.lacks_members and (record.incomplete or not reopened)

    def _abandoned(self) -> Mapping[str, Sequence[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for line in self._case.acts:
            if line["act"] == "abandon":
                found[line["target"]].append(line["at"])
                for outer in self._dispatched_with(line["target"]):
                    found[outer].append(line["at"])
        return found

    def _orphaned(self) -> Mapping[str, float]:
        """The batches that were dispatched, or added to, by a process that died in it; and since when."""
        ended = {line["call"] for line in self._case.acts if line["phase"] == "end"}
        found: dict[str, float] = {}
        for line in self._case.acts:
            if line["act"] not in {"dispatch", "add"} or line["call"] in ended:
                continue
            names = [*line["names"], *([line["target"]] if line["act"] == "dispatch" else [])]
            for name in names:
                if name in self._batches:
                    inner = (batch.name for batch in self._batches[name].batches())
                    found |= dict.fromkeys((name, *inner), line["at"])
            found.setdefault(line["target"], line["at"])
        return found

    def _broken_additions(self) -> Mapping[str, Sequence[float]]:
        """The batches to which one was added whose dispatch was abandoned, and when that was."""
        found: dict[str, list[float]] = defaultdict(list)
        for abandon in self._case.acts:
            if abandon["act"] != "abandon":
                continue
            outer = {abandon["target"], *self._dispatched_with(abandon["target"])}
            for line in self._case.acts:
                if line["act"] == "add" and line["phase"] == "begin" and outer.intersection(line["names"]):
                    found[line["target"]].append(abandon["at"])
        return found

    def _dispatched_with(self, name: str) -> Iterator[str]:
        """The batches whose dispatch ends with that of one of their entries."""
        for batch in self._batches.values():
            if any(isinstance(entry, Batch) and entry.name == name for entry in batch.entries):
                yield batch.name
                yield from self._dispatched_with(batch.name)


def _windows(acts: Sequence[dict[str, Any]]) -> Mapping[str, list[Window]]:
    """The calls that cancelled each batch, by its name."""
    ends = {line["call"]: line["at"] for line in acts if line["phase"] == "end"}
    found: dict[str, list[Window]] = defaultdict(list)
    for line in acts:
        if line["act"] == "cancel" and line["phase"] == "begin":
            found[line["target"]].append(Window(began=line["at"], ended=ends.get(line["call"], math.inf)))
    return found


def is_group(job: JobRecord) -> bool:
    """Whether a member is a group itself."""
    return job.task == GROUP_TASK
