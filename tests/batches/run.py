"""One run from the first process to the verdict."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.features.groups import hold
from tests.batches import shop
from tests.batches.acting import ACTS, Acting
from tests.batches.chapters import Case
from tests.batches.course import Course
from tests.batches.kills import Killing
from tests.batches.plan import QUEUES
from tests.batches.report import explain, figures
from tests.batches.verdict import judge
from tests.crash import journal
from tests.crash.accounts import Problem
from tests.crash.books import all_pages, read_books
from tests.crash.leftovers import look_for_leftovers, look_for_unpruned
from tests.crash.logs import logging_to
from tests.crash.staff import Staff
from tests.crash.stage import HOLD, make_app, spool_folder

if TYPE_CHECKING:
    from celery import Celery

    from celery_jobtrack import JobTrack
    from tests.batches.plan import Batch, Plan
    from tests.crash.lane import Lane

logger = logging.getLogger(__name__)

AT_A_TIME = 30
SETTLE_SECONDS = 60.0
"""After the last batch has ended: callbacks of progress may still run, and events be delivered."""
LOOK_EVERY = 0.5
KILL_EVERY = 0.2
REPAIRED = "were wrong and are mended"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a run."""

    plan: Plan
    problems: tuple[Problem, ...]
    report: str
    figures: str
    seconds: float
    folder: str | None
    """Where the artefacts of a failed run are."""


def run_plan(plan: Plan, lane: Lane, *, drawn_from: dict[str, object], keep: bool = False) -> Result:
    """Run one plan; its folder is kept if something is wrong, or if ``keep`` says so.

    Args:
        plan: What to do.
        lane: Has the servers.
        drawn_from: What the workers draw the same plan from.
        keep: Whether the folder of a good run is kept, too.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="jobtrack-batches-"))
    (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=1, default=str))
    _, broker_url = lane.broker(plan.broker)
    _, store_url = lane.store(plan.store, folder)
    settings = {**shop.SETTINGS, "broker_url": broker_url, "jobtrack_strategy": store_url}
    app, jobtrack = make_app("batches", folder, settings, shop.tasks_of(plan.all_members()))
    try:
        with (
            patch.object(hold, "FILLING_LEASE", HOLD),
            patch.dict(os.environ, {shop.PLAN: json.dumps(drawn_from)}),
            logging_to(folder / "run.log", logging.getLogger("tests.batches")),
            Staff(folder, settings, 0.0, shop="tests.batches.shop", queues=QUEUES) as staff,
        ):
            logger.info("%s; the servers took %.1f s", plan.name, time.monotonic() - began)
            run = _Run(plan, folder, staff, app, jobtrack)
            run.play(store_url)
    finally:
        jobtrack.close()
        app.close()
    if run.problems:
        lane.replace()
    kept = bool(run.problems) or keep
    if not kept:
        shutil.rmtree(folder)
    return Result(
        plan=plan,
        problems=tuple(run.problems),
        report=run.report,
        figures=run.figures,
        seconds=time.monotonic() - began,
        folder=str(folder) if kept else None,
    )


class _Run:
    """The steps of a run, and what they found."""

    def __init__(self, plan: Plan, folder: Path, staff: Staff, app: Celery, jobtrack: JobTrack) -> None:
        self._plan = plan
        self._folder = folder
        self._staff = staff
        self._jobtrack = jobtrack
        self._acting = Acting(app, jobtrack, folder)
        self._courses: list[Course] = []
        self._killing = Killing(plan.kills, staff, folder)
        self.problems: list[Problem] = []
        self.report = ""
        self.figures = ""

    def play(self, store_url: str) -> None:
        """All of it. What goes wrong in the run itself is a problem, too."""
        case: Case | None = None
        try:
            self._staff.hire()
            self._carry_out()
            case = self._await_settlement()
            self.figures = figures(case)
            self._wind_up(store_url)
        except Exception as error:
            logger.exception("the run cannot go on")
            self.problems.append(Problem(kind="the run", what=f"{type(error).__name__}: {error}"))
        if self.problems:
            self.report = explain(self._plan, self._folder, case, self.problems)

    def _carry_out(self) -> None:
        """Many batches at a time, and kills beside them, until the last batch has ended."""
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="batches") as pool:
            waiting = {pool.submit(self._course(batch).run): batch for batch in self._plan.batches}
            while waiting:
                for future in wait(waiting, timeout=KILL_EVERY, return_when=FIRST_COMPLETED).done:
                    self._note(waiting.pop(future), future.exception())
                self._killing.look()

    def _course(self, batch: Batch) -> Course:
        self._courses.append(Course(batch, self._jobtrack, self._acting))
        return self._courses[-1]

    def _note(self, batch: Batch, error: BaseException | None) -> None:
        if error is not None:
            logger.error("%s: %s", batch.name, error, exc_info=error)
            self.problems.append(
                Problem(kind="course", what=f"{batch.name}: {type(error).__name__}: {error}")
            )

    def _await_settlement(self) -> Case:
        """The case when nothing is wrong with it any more, or when the time is up."""
        deadline = time.monotonic() + (SETTLE_SECONDS if not self.problems else 0.0)
        while True:
            late = time.monotonic() >= deadline
            if late or self._is_quiet():
                case = self._case()
                problems = judge(case)
                if late or not problems:
                    self.problems += problems
                    return case
            time.sleep(LOOK_EVERY)

    def _is_quiet(self) -> bool:
        """Whether it is worth while to read everything."""
        inspect = self._jobtrack.inspect
        try:
            moving = any(count and not state.is_final for state, count in inspect.counts().items())
            return not moving and not inspect.event_counts().pending
        except StoreUnavailable:
            return False

    def _wind_up(self, store_url: str) -> None:
        self.problems += [
            Problem(kind="ended by itself", what=f"{process.name} has ended")
            for process in self._staff.dead()
        ]
        late = self._staff.dismiss()
        if late:
            logger.warning("had to be killed at the end: %s", late)
        groups = all_pages(self._jobtrack.groups.list)
        self.problems += look_for_leftovers(self._staff, self._jobtrack, groups, spool_folder(self._folder))
        self.problems += self._repairs()
        if not self.problems:  # what a worker did while it stopped counts, too
            self.problems += judge(self._case())
        if not self.problems:  # or there would be nothing left to be looked at
            self.problems += look_for_unpruned(self._jobtrack, store_url)

    def _repairs(self) -> list[Problem]:
        """The checker mends what should never be wrong, and says so."""
        said = [
            line
            for log in sorted(self._folder.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if REPAIRED in line
        ]
        return [Problem(kind="repaired", what=line) for line in said]

    def _case(self) -> Case:
        return Case(
            plan=self._plan,
            books=read_books(self._jobtrack, all_pages(self._jobtrack.groups.list)),
            snapshots=[snapshot for course in self._courses for snapshot in course.snapshots],
            killed=self._killing.killed,
            bodies=journal.read(self._folder / journal.BODIES),
            listeners=journal.read(self._folder / journal.LISTENERS),
            acts=journal.read(self._folder / ACTS),
        )
