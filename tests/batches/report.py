"""What people are shown: of what is wrong everything that may tell why, of a run its figures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.batches.course import describe
from tests.crash.report import tail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.batches.chapters import Case
    from tests.batches.plan import Plan
    from tests.crash.accounts import Problem

PROBLEMS_SHOWN = 40
CONCERNED_SHOWN = 4
LINES_SHOWN = 60


def explain(plan: Plan, folder: Path, case: Case | None, problems: Sequence[Problem]) -> str:
    """The report of a failed run, which is also left in its folder."""
    parts = [plan.name, "", *(f"  {problem}" for problem in problems[:PROBLEMS_SHOWN])]
    if len(problems) > PROBLEMS_SHOWN:
        parts.append(f"  … and {len(problems) - PROBLEMS_SHOWN} more")
    if case is not None:
        concerned = list(dict.fromkeys(problem.job_id for problem in problems if problem.job_id))
        for one in concerned[:CONCERNED_SHOWN]:
            parts += ["", *_concerning(folder, case, one)]
    for log in sorted(folder.glob("*.log")):
        parts += ["", f"--- the end of {log.name} ---", *tail(log)]
    text = "\n".join(parts)
    (folder / "report.txt").write_text(text)
    return text


def figures(case: Case) -> str:
    """What happened, in numbers."""
    books = case.books
    callbacks = [job for job in books.jobs.values() if job.task == "batches.callback"]
    states = Counter(str(group.outcome) for group in books.groups)
    acts = Counter(line["act"] for line in case.acts if line["phase"] == "begin" and line["call"])
    shown = {
        "batches": f"{len(books.groups)} ({_counted(states)})",
        "in batches": sum(group.parent_id is not None for group in books.groups),
        "generations": sum(group.generation for group in books.groups),
        "members": f"{sum(map(len, books.members.values()))}",
        "callbacks": f"{len(callbacks)}",
        "jobs": _counted(Counter(str(job.state) for job in books.jobs.values())),
        "attempts": sum(map(len, books.attempts.values())),
        "calls": _counted(acts),
        "kills": (
            f"{case.killed.children} children ({case.killed.actors} of them in a call), "
            f"{case.killed.workers} workers"
        ),
    }
    return "\n".join(f"  {name:12s}{value}" for name, value in shown.items())


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


def _concerning(folder: Path, case: Case, one: str) -> list[str]:
    """All that is written of a job or a group."""
    books = case.books
    parts = [f"concerning {one}"]
    group = next((group for group in books.groups if group.id == one), None)
    title = None
    if group is not None:
        title = group.title
        parts += [f"  {describe(group)}, {group.outcome}, incomplete {group.incomplete}"]
        parts += [
            f"  first failure {group.first_failure}, started at {group.started_at}, parent {group.parent_id}"
        ]
        parts += [f"  plan: {case.plan.all_batches()[group.title]}"[:1500]]
        for job in books.members[one]:
            ended = f"{job.state}({job.reason}) run {job.run}, generation {job.generation}"
            parts.append(f"  member {job.args} {job.id}: {ended}, ended at {job.finished_at}")
    if one in books.jobs:
        parts.append(f"  store: {books.jobs[one]}")
        parts += [f"  {attempt}" for attempt in books.attempts.get(one, ())]
        parts += [f"  body: {body}" for body in case.bodies if body["job"] == one]
    parts += [f"  act: {line}" for line in case.acts if title is not None and line["target"] == title]
    for log in sorted(folder.glob("*.log")):
        said = [text for text in log.read_text(errors="replace").splitlines() if one in text]
        parts += [f"  {log.name}: {text}" for text in said[:LINES_SHOWN]]
    return parts
