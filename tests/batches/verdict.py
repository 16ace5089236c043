"""What must hold at the end of a run. Each check gives what it found wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import CallbackKind, GroupOutcome, JobState, Reason
from tests.batches.chapters import Chapter, Chapters, ended_at, is_group
from tests.batches.course import describe, has_ended
from tests.batches.model import predict
from tests.crash.accounts import Problem, counters_right, events_delivered, events_once, no_attempt_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from celery_jobtrack.model.job import JobRecord
    from tests.batches.chapters import Case
    from tests.batches.model import Due, Prediction
    from tests.batches.plan import Member

NAMESPACE = "default"
CLOCKS = 0.05
"""Seconds by which the store's time and that of the bodies may differ on one machine."""

End = tuple[JobState, Reason | None]


class Judgement:
    """What is found out of a case once, for all checks."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.books = case.books
        self.chapters = Chapters(case)
        self.predictions: list[tuple[Chapter, Prediction]] = [
            (chapter, predict(chapter, NAMESPACE)) for chapter in self.chapters
        ]
        self.members: Mapping[str, Member] = case.plan.all_members()
        self.due: dict[str, Due] = {}
        for _, prediction in self.predictions:
            self.due |= prediction.due
        self.begun: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.ended: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in case.bodies:
            (self.begun if line["phase"] == "begin" else self.ended)[line["job"]].append(line)

    def name_of(self, job: JobRecord) -> str | None:
        """The name that the plan gives to a member; None for what is none."""
        name = (job.args or "").strip("()',")
        return name if name in self.members else None


def judge(case: Case) -> list[Problem]:
    """All that is wrong."""
    judgement = Judgement(case)
    return [problem for check in _CHECKS for problem in check(judgement)]


def _all_ended(judgement: Judgement) -> Iterator[Problem]:
    """Every batch ends, and so does every job."""
    for group in judgement.books.groups:
        if not has_ended(group):
            yield _of_group("not ended", group.id, describe(group))
    for job in judgement.books.jobs.values():
        if not job.is_final:
            yield Problem(kind="not final", what=f"{_about(judgement, job)} is {job.state}", job_id=job.id)


def _as_asked(judgement: Judgement) -> Iterator[Problem]:
    """A batch begins a generation when something in it runs again, and only then."""
    for group, number in judgement.chapters.missing:
        what = f"generation {number} of {describe(group)} ended unseen: nobody asked for the one after it"
        yield _of_group("unasked generation", group.id, what)
    reopened = {line["target"] for line in judgement.case.acts if line["act"] == "reopen"}
    for chapter in judgement.chapters:
        more = len(chapter.members) - chapter.ended_before
        asked = chapter.again or more or chapter.batch.name in reopened
        if chapter.record.generation > 1 and not asked:
            what = f"{describe(chapter.record)}: none of its members ran again, and none is new"
            yield _of_group("unasked generation", chapter.record.id, what)


def _members_right(judgement: Judgement) -> Iterator[Problem]:
    """What was dispatched is there once; what was refused is not."""
    found: dict[str, Counter[str]] = {}
    for group in judgement.books.groups:
        names = [_name_in(judgement, job) for job in judgement.books.members[group.id]]
        found[group.title] = Counter(name for name in names if name is not None)
        for name, times in found[group.title].items():
            if times > 1 or name.rpartition(".")[0] != group.title:
                yield _of_group("wrong members", group.id, f"{name} is {times} times in {group.title}")
    titles = Counter(group.title for group in judgement.books.groups)
    for title, times in titles.items():
        if times > 1:
            yield Problem(kind="wrong members", what=f"{title} was made {times} times")
    ends = {line["call"]: line for line in judgement.case.acts if line["phase"] == "end"}
    for line in judgement.case.acts:
        if line["phase"] == "begin" and line["act"] in {"add", "dispatch"}:
            yield from _call_kept(judgement, found, line, ends.get(line["call"]))


def _call_kept(
    judgement: Judgement, found: Mapping[str, Counter[str]], call: dict[str, Any], end: dict[str, Any] | None
) -> Iterator[Problem]:
    """What a call brought is the first so many of what it was given; all, if it says so."""
    names = call["names"]
    brought = found.get(call["target"], Counter())
    there = [name for name in names if brought[name]]
    where = f"{call['act']} of {len(names)} to {call['target']} brought {len(there)}"
    if there != names[: len(there)]:
        yield Problem(kind="wrong members", what=f"{where}, which are not the first ones: {there}")
    batch = judgement.case.plan.all_batches()[call["target"]]
    cancelled = any(
        chapter.is_cancelled for chapter in judgement.chapters if chapter.batch.name == batch.name
    )
    if end is None and call["act"] == "dispatch" and len(there) < len(names) and not cancelled:
        sealed = [group for group in judgement.books.groups if group.title == batch.name]
        if any(group.generation == 1 and not group.incomplete for group in sealed):
            what = f"{where} before its process died, and {batch.name} is not incomplete"
            yield Problem(kind="wrong members", what=what)
    if end is None or cancelled:
        return
    expected = len(names)
    if end["error"] == "Abandoned" and batch.abandon_after is not None and call["act"] == "dispatch":
        expected = batch.abandon_after
    if end["error"] in {None, "Abandoned"} and len(there) < expected and not _broken_below(judgement, names):
        yield Problem(kind="wrong members", what=f"{where}, and said {end['error']}")
    if end["error"] == "GroupCompleted" and there:
        yield Problem(kind="wrong members", what=f"{where}, and said that nothing can be added")


def _broken_below(judgement: Judgement, names: list[str]) -> bool:
    """Whether the dispatch of a batch within was abandoned, and ended that of all."""
    batches = judgement.case.plan.all_batches()
    within = (inner for name in names if name in batches for inner in batches[name].batches())
    return any(batch.abandon_after is not None for batch in within)


def _ended_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A member ends as its body does, unless something that happened excuses another end."""
    for chapter in judgement.chapters:
        for job in chapter.new_ends:
            name = judgement.name_of(job)
            if name is None:
                continue
            ended = (job.state, job.reason)
            member = judgement.members[name]
            if ended != member.kind.natural_end(job.run) and ended not in _excused(judgement, chapter, job):
                what = f"{_about(judgement, job)} ended as {job.state}({job.reason}): {job.error}"
                yield Problem(kind="wrong end", what=what, job_id=job.id)


def _excused(judgement: Judgement, chapter: Chapter, job: JobRecord) -> set[End]:
    ends: set[End] = set()
    if chapter.is_cancelled or any(above.is_cancelled for above in chapter.above):
        ends.add((JobState.REVOKED, Reason.GROUP_CANCELLED))
    if any(line["act"] == "cancel-member" and line["job"] == job.id for line in judgement.case.acts):
        ends.add((JobState.REVOKED, Reason.CANCELLED))
    name = judgement.name_of(job)
    may_rerun = name is not None and judgement.members[name].may_rerun
    if not may_rerun and _was_killed(judgement, job):
        ends.add((JobState.FAILURE, Reason.WORKER_LOST))
    return ends


def _was_killed(judgement: Judgement, job: JobRecord) -> bool:
    """Whether a kill may have ended a job in its present run."""
    attempts = [each for each in judgement.books.attempts.get(job.id, ()) if each.run == job.run]
    killed = judgement.case.killed
    if attempts and attempts[-1].retries == job.retries:
        at = killed.pids.get(attempts[-1].pid)
        return at is not None and attempts[-1].started_at.timestamp() <= at + CLOCKS
    # Celery ends what it had handed to the child, also if that had not begun it.
    return killed.children > 0


def _groups_as_predicted(judgement: Judgement) -> Iterator[Problem]:
    """A batch comes to what its members came to; one is cancelled if somebody did that, and only then."""
    for chapter, prediction in judgement.predictions:
        record = chapter.record
        if not record.is_over:
            continue
        if record.outcome is not prediction.outcome:
            what = f"{describe(record)}: its outcome is {record.outcome}, predicted {prediction.outcome}"
            yield _of_group("wrong outcome", record.id, what)
        if prediction.must_be_cancelled and not chapter.is_cancelled:
            what = f"{describe(record)} is not cancelled"
            yield _of_group("wrong state", record.id, what)
        if (
            chapter.is_cancelled
            and not prediction.may_be_cancelled
            and not _came_too_late(judgement, chapter)
        ):
            what = f"{describe(record)} is cancelled, and nobody did that"
            yield _of_group("wrong state", record.id, what)


def _came_too_late(judgement: Judgement, chapter: Chapter) -> bool:
    """Whether it was to become a member of a batch that took none any more: such a one is cancelled."""
    parent_id = chapter.record.parent_id
    if parent_id is None:
        return False
    return not chapter.members and chapter.record.id not in judgement.books.jobs


def _children_counted(judgement: Judgement) -> Iterator[Problem]:
    """A batch is one member of its parent, and ends there as it ended itself, after its callbacks."""
    for group in judgement.books.groups:
        chapters = judgement.chapters.of(group.id)
        if group.parent_id is None or not chapters or not group.is_over:
            continue
        chapter = chapters[-1]
        standing_for = [job for job in judgement.books.members.get(group.parent_id, ()) if job.id == group.id]
        if not standing_for and _came_too_late(judgement, chapter):
            continue
        if len(standing_for) != 1:
            what = f"{group.title} is {len(standing_for)} members of its parent"
            yield _of_group("wrong child", group.id, what)
            continue
        yield from _child_as_member(judgement, chapter, standing_for[0])


_AS_MEMBER = {
    GroupOutcome.SUCCEEDED: JobState.SUCCESS,
    GroupOutcome.FAILED: JobState.FAILURE,
    GroupOutcome.CANCELLED: JobState.REVOKED,
}


def _child_as_member(judgement: Judgement, chapter: Chapter, job: JobRecord) -> Iterator[Problem]:
    record = chapter.record
    outcome = predict(chapter, NAMESPACE).outcome
    if job.state is not _AS_MEMBER[outcome]:
        what = (
            f"{record.title} came to {outcome}, and in its parent to {job.state}({job.reason}): {job.error}"
        )
        yield _of_group("wrong child", record.id, what)
    for job_id, due in judgement.due.items():
        last = due.chapter.record.id == record.id and due.chapter.record.generation == record.generation
        called = judgement.books.jobs.get(job_id)
        if not last or called is None or due.callback.kind is CallbackKind.PROGRESS:
            continue
        if ended_at(called) > ended_at(job) + CLOCKS:
            what = f"{record.title} ended in its parent before its {due.callback.kind} callback {job_id} had"
            yield _of_group("wrong child", record.id, what)


def _callbacks_right(judgement: Judgement) -> Iterator[Problem]:
    """There are exactly the callbacks that the model predicts."""
    jobs = judgement.books.jobs
    for chapter, prediction in judgement.predictions:
        optional = {job_id for jobs_of_one in prediction.may for job_id in jobs_of_one}
        for job_id, due in prediction.due.items():
            if job_id not in jobs and job_id not in optional:
                yield Problem(kind="missing callback", what=_about_due(due, job_id), job_id=job_id)
        for jobs_of_one in prediction.may:
            absent = [job_id not in jobs for job_id in jobs_of_one]
            if any(absent) and not all(absent[absent.index(True) :]):
                what = f"of {describe(chapter.record)} progress was told at an early step, not at a later one"
                yield _of_group("missing callback", chapter.record.id, what)
    for job in jobs.values():
        if job.task == "batches.callback" and job.id not in judgement.due:
            yield Problem(kind="unexpected callback", what=_about(judgement, job), job_id=job.id)


def _callbacks_ended_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A callback's job ends as its body does, or with its worker; no cancelled batch takes it along."""
    for job_id, due in judgement.due.items():
        job = judgement.books.jobs.get(job_id)
        if job is None or not job.is_final:
            continue
        ended = (job.state, job.reason)
        lost = ended == (JobState.FAILURE, Reason.WORKER_LOST) and _was_killed(judgement, job)
        if ended != due.callback.ending.natural_end and not lost:
            what = f"{_about_due(due, job_id)} ended as {job.state}({job.reason}): {job.error}"
            yield Problem(kind="wrong end", what=what, job_id=job_id)


def _callbacks_called_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A callback is given its batch, and not before its time."""
    for job_id, due in judgement.due.items():
        expected = f"{due.callback.kind.value} {due.callback.number}"
        for line in judgement.begun.get(job_id, ()):
            if (line.get("group"), line["name"]) != (due.chapter.record.id, expected):
                what = f"{_about_due(due, job_id)} was called as {line['name']} of {line.get('group')}"
                yield Problem(kind="wrong call", what=what, job_id=job_id)
            if line["at"] < _not_before(due) - CLOCKS:
                what = f"{_about_due(due, job_id)} was called {_not_before(due) - line['at']:.3f} s too early"
                yield Problem(kind="wrong call", what=what, job_id=job_id)


def _not_before(due: Due) -> float:
    chapter, kind = due.chapter, due.callback.kind
    if kind is CallbackKind.BEFORE:
        started = chapter.record.started_at
        return 0.0 if started is None else started.timestamp()
    if kind is CallbackKind.CATCH:
        return min(chapter.failures, default=0.0)
    if kind is CallbackKind.PROGRESS:
        # Members that run again end a second time: only their first generation has a simple order.
        ends = sorted(ended_at(job) for job in chapter.members)
        return ends[due.step - 1] if chapter.record.generation == 1 else chapter.since
    return chapter.completed_at


def _none_ran_twice(judgement: Judgement) -> Iterator[Problem]:
    """A body begins at most once for each try, unless the user allowed more."""
    for job_id, lines in judgement.begun.items():
        member = judgement.members.get(lines[0]["name"])
        if member is not None and member.may_rerun:
            continue
        for (run, retries), times in Counter((line["run"], line["retries"]) for line in lines).items():
            if times > 1:
                what = f"the body of {lines[0]['name']} began {times} times with run={run}, retries={retries}"
                yield Problem(kind="ran twice", what=what, job_id=job_id)


def _recorded_as_run(judgement: Judgement) -> Iterator[Problem]:
    """What is recorded as its body's end has a body that came to its end, and a refused job has none."""
    for job in judgement.books.jobs.values():
        if is_group(job):
            continue
        finished = any(line["run"] == job.run for line in judgement.ended.get(job.id, ()))
        natural = job.state in {JobState.SUCCESS, JobState.SKIPPED} or job.reason is Reason.ERROR
        if natural and not finished:
            what = f"{_about(judgement, job)} is {job.state}, and its body never came to its end"
            yield Problem(kind="never ran", what=what, job_id=job.id)
        tried = any(each.run == job.run for each in judgement.books.attempts.get(job.id, ()))
        if finished and not tried:
            what = f"{_about(judgement, job)} is {job.state} without an attempt, and its body ran"
            yield Problem(kind="ran in secret", what=what, job_id=job.id)


def _nobody_unknown(judgement: Judgement) -> Iterator[Problem]:
    """Every job is a member, or stands for a batch, or is a callback."""
    groups = {group.id for group in judgement.books.groups}
    for job in judgement.books.jobs.values():
        known = job.task == "batches.callback" or (
            job.group_id in groups and (judgement.name_of(job) or job.id in groups)
        )
        if not known:
            yield Problem(kind="unknown job", what=_about(judgement, job), job_id=job.id)
        if job.task == "batches.callback" and job.group_id is not None:
            what = f"{_about(judgement, job)} is counted as a member of {job.group_id}"
            yield Problem(kind="wrong members", what=what, job_id=job.id)


def _no_surprises(judgement: Judgement) -> Iterator[Problem]:
    for line in judgement.case.acts:
        if line.get("error") == "surprise":
            yield Problem(kind="surprise", what=f"{line['act']} of {line['target']} raised {line['text']}")


def _name_in(judgement: Judgement, job: JobRecord) -> str | None:
    """The name of a member, whether it is a job or a batch."""
    return (job.args or "").strip("'") if is_group(job) else judgement.name_of(job)


def _about(judgement: Judgement, job: JobRecord) -> str:
    return f"{job.task} {_name_in(judgement, job) or job.args} (job {job.id}, run {job.run})"


def _about_due(due: Due, job_id: str) -> str:
    step = f" at {due.step}" if due.step else ""
    about = f"callback {due.callback.kind} {due.callback.number}{step} ({job_id})"
    return f"{about} of {describe(due.chapter.record)}"


def _of_group(kind: str, group_id: str, what: str) -> Problem:
    return Problem(kind=kind, what=what, job_id=group_id)


_CHECKS: tuple[Callable[[Judgement], Iterator[Problem]], ...] = (
    _all_ended,
    _as_asked,
    _members_right,
    _ended_rightly,
    _groups_as_predicted,
    _children_counted,
    _callbacks_right,
    _callbacks_ended_rightly,
    _callbacks_called_rightly,
    _none_ran_twice,
    _recorded_as_run,
    _nobody_unknown,
    _no_surprises,
    lambda judgement: no_attempt_open(judgement.books),
    lambda judgement: counters_right(judgement.books),
    lambda judgement: events_once(judgement.books, judgement.case.listeners, of_empty=True),
    lambda judgement: events_delivered(judgement.books),
)
