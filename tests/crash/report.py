"""What people are shown: of a failed round everything that may tell why, of a run one table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.crash.plan import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.crash.accounts import Problem
    from tests.crash.faults import Scene, Strike
    from tests.crash.run import Result
    from tests.crash.verdict import Case

JOBS_SHOWN = 3
LINES_SHOWN = 25


def explain(scene: Scene, strike: Strike, case: Case | None, problems: Sequence[Problem]) -> str:
    """The report of a failed round, which is also left in its folder; without a case, what there is."""
    folder = scene.folder
    parts = [scene.plan.name, f"what was struck: {strike.what or 'nothing'}", ""]
    parts += [f"  {problem}" for problem in problems]
    if case is not None:
        parts += _records(folder, case, problems)
    for log in sorted(folder.glob("*.log")):
        parts += ["", f"--- the end of {log.name} ---", *tail(log)]
    text = "\n".join(parts)
    (folder / "report.txt").write_text(text)
    return text


def _records(folder: Path, case: Case, problems: Sequence[Problem]) -> list[str]:
    parts: list[str] = []
    concerned = list(dict.fromkeys(problem.job_id for problem in problems if problem.job_id))
    for job_id in concerned[:JOBS_SHOWN]:
        parts += ["", *_job(folder, case, job_id)]
    if len(concerned) > JOBS_SHOWN:
        parts += ["", f"… and {len(concerned) - JOBS_SHOWN} more jobs"]
    parts.append("")
    for group in case.books.groups:
        now = f"generation {group.generation}, {group.state}, {group.totals}"
        parts.append(f"group {group.title!r} ({group.id}): {now}, completed at {group.completed_at}")
    return parts


def line(result: Result) -> str:
    """One round in one line."""
    plan = result.plan
    failed = ", ".join(
        f"{count} {kind}" for kind, count in Counter(problem.kind for problem in result.problems).items()
    )
    notes = f"  ({'; '.join(result.notes)})" if result.notes else ""
    where = f"{plan.store} over {plan.broker}"
    return (
        f"{plan.number:4d}  {plan.fault.value:16s} {where:22s} {result.seconds:5.1f} s, "
        f"settled after {result.settled_after:4.1f} s  {f'FAILED: {failed}' if failed else 'ok'}{notes}"
    )


def table(results: Iterable[Result]) -> str:
    """Fault by store: rounds, and how many of them failed."""
    rounds, failed = Counter(), Counter()
    results = list(results)
    for result in results:
        for kind in (result.plan.fault.value, "all"):
            rounds[kind, result.plan.store] += 1
            failed[kind, result.plan.store] += bool(result.problems)
    stores = sorted({result.plan.store for result in results})
    lines = [f"{'fault':18s}" + "".join(f"{store:>24s}" for store in stores)]
    for kind in [*(fault.value for fault in Fault), "all"]:
        cells = [_cell(rounds[kind, store], failed[kind, store]) for store in stores]
        lines.append(f"{kind:18s}" + "".join(f"{cell:>24s}" for cell in cells))
    return "\n".join(lines)


def _cell(rounds: int, failed: int) -> str:
    return f"{rounds} rounds, {failed} failed" if rounds else "-"


def _job(folder: Path, case: Case, job_id: str) -> list[str]:
    parts = [f"job {job_id}"]
    order = next((order for order in case.plan.orders if order.id == job_id), None)
    parts.append(f"  plan: {order}")
    if job_id in case.refused:
        parts.append(f"  its dispatch raised {case.refused[job_id]}")
    parts.append(f"  store: {case.books.jobs.get(job_id)}")
    parts += [f"  {attempt}" for attempt in case.books.attempts.get(job_id, ())]
    parts += [f"  body: {body}" for body in case.bodies if body["job"] == job_id]
    for log in sorted(folder.glob("*.log")):
        mentions = [text for text in log.read_text(errors="replace").splitlines() if job_id in text]
        parts += [f"  {log.name}: {text}" for text in mentions]
    return parts


def tail(log: Path) -> list[str]:
    """The end of a log, without what is said every half second whatever happens."""
    lines = log.read_text(errors="replace").splitlines()
    return [text for text in lines if "celery_jobtrack.check" not in text][-LINES_SHOWN:]
