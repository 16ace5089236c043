"""What must hold of members: the right ones are there, and each ended as it had to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import JobState, Reason
from tests.batches.chapters import is_group
from tests.batches.judgement import about, of_group, was_killed
from tests.crash.accounts import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from celery_jobtrack.model.job import JobRecord
    from tests.batches.chapters import Chapter
    from tests.batches.judgement import Judgement

End = tuple[JobState, Reason | None]


def members_right(judgement: Judgement) -> Iterator[Problem]:
    """What was dispatched is there once; what was refused is not."""
    found: dict[str, Counter[str]] = {}
    for group in judgement.books.groups:
        names = [judgement.any_name_of(job) for job in judgement.books.members[group.id]]
        found[group.title] = Counter(name for name in names if name is not None)
        for name, times in found[group.title].items():
            if times > 1 or name.rpartition(".")[0] != group.title:
                yield of_group("wrong members", group.id, f"{name} is {times} times in {group.title}")
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


def ended_rightly(judgement: Judgement) -> Iterator[Problem]:
    """A member ends as its body does, unless something that happened excuses another end."""
    for chapter in judgement.chapters:
        for job in chapter.new_ends:
            name = judgement.name_of(job)
            if name is None:
                continue
            ended = (job.state, job.reason)
            member = judgement.members[name]
            if ended != member.kind.natural_end(job.run) and ended not in _excused(judgement, chapter, job):
                what = f"{about(judgement, job)} ended as {job.state}({job.reason}): {job.error}"
                yield Problem(kind="wrong end", what=what, job_id=job.id)


def _excused(judgement: Judgement, chapter: Chapter, job: JobRecord) -> set[End]:
    ends: set[End] = set()
    if chapter.is_cancelled or any(above.is_cancelled for above in chapter.above):
        ends.add((JobState.REVOKED, Reason.GROUP_CANCELLED))
    if any(line["act"] == "cancel-member" and line["job"] == job.id for line in judgement.case.acts):
        ends.add((JobState.REVOKED, Reason.CANCELLED))
    name = judgement.name_of(job)
    may_rerun = name is not None and judgement.members[name].may_rerun
    if not may_rerun and was_killed(judgement, job):
        ends.add((JobState.FAILURE, Reason.WORKER_LOST))
    return ends


def none_ran_twice(judgement: Judgement) -> Iterator[Problem]:
    """A body begins at most once for each try, unless the user allowed more."""
    for job_id, lines in judgement.begun.items():
        member = judgement.members.get(lines[0]["name"])
        if member is not None and member.may_rerun:
            continue
        for (run, retries), times in Counter((line["run"], line["retries"]) for line in lines).items():
            if times > 1:
                what = f"the body of {lines[0]['name']} began {times} times with run={run}, retries={retries}"
                yield Problem(kind="ran twice", what=what, job_id=job_id)


def recorded_as_run(judgement: Judgement) -> Iterator[Problem]:
    """What is recorded as its body's end has a body that came to its end, and a refused job has none."""
    for job in judgement.books.jobs.values():
        if is_group(job):
            continue
        finished = any(line["run"] == job.run for line in judgement.ended.get(job.id, ()))
        natural = job.state in {JobState.SUCCESS, JobState.SKIPPED} or job.reason is Reason.ERROR
        if natural and not finished:
            what = f"{about(judgement, job)} is {job.state}, and its body never came to its end"
            yield Problem(kind="never ran", what=what, job_id=job.id)
        tried = any(each.run == job.run for each in judgement.books.attempts.get(job.id, ()))
        if finished and not tried:
            what = f"{about(judgement, job)} is {job.state} without an attempt, and its body ran"
            yield Problem(kind="ran in secret", what=what, job_id=job.id)


def nobody_unknown(judgement: Judgement) -> Iterator[Problem]:
    """Every job is a member, or stands for a batch, or is a callback."""
    groups = {group.id for group in judgement.books.groups}
    for job in judgement.books.jobs.values():
        known = job.task == "batches.callback" or (
            job.group_id in groups and (judgement.name_of(job) or job.id in groups)
        )
        if not known:
            yield Problem(kind="unknown job", what=about(judgement, job), job_id=job.id)
        if job.task == "batches.callback" and job.group_id is not None:
            what = f"{about(judgement, job)} is counted as a member of {job.group_id}"
            yield Problem(kind="wrong members", what=what, job_id=job.id)
