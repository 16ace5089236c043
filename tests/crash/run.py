"""One round from the first process to the verdict."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.features.groups import hold
from tests.crash import journal
from tests.crash.accounts import Problem
from tests.crash.books import is_settled, read_books
from tests.crash.faults import Scene, Strike, strike
from tests.crash.leftovers import look_for_leftovers, look_for_unpruned
from tests.crash.logs import logging_to
from tests.crash.report import explain
from tests.crash.shop import add_tasks
from tests.crash.staff import Staff
from tests.crash.stage import HOLD, make_app, spool_folder
from tests.crash.traffic import Traffic
from tests.crash.verdict import Case, judge
from tests.waiting import wait_until

if TYPE_CHECKING:
    from celery import Celery

    from celery_jobtrack import JobTrack
    from tests.crash.lane import Lane
    from tests.crash.plan import Plan

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 60.0
"""After the last dispatch; longer than every lease, claim and hold of a round together."""
BUSY_SECONDS = 60.0
"""In which the workers begin what the fault waits for."""
LOOK_EVERY = 0.5


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a round. It travels between processes."""

    plan: Plan
    struck: str
    problems: tuple[Problem, ...]
    report: str
    seconds: float
    settled_after: float
    """Seconds from the last dispatch until everything was right."""
    folder: str | None
    """Where the artefacts of a failed round are."""
    notes: tuple[str, ...] = ()
    """What is no failure of ours: a worker that had to be killed at the end."""


def run_round(plan: Plan, lane: Lane, *, keep: bool = False) -> Result:
    """Run one round; its folder is kept if something is wrong, or if ``keep`` says so."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="jobtrack-crash-"))
    (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=1))
    broker, broker_url = lane.broker(plan.broker)
    store, store_url = lane.store(plan.store, folder)
    settings = {"broker_url": broker_url, "jobtrack_strategy": store_url}
    app, jobtrack = make_app("crash", folder, settings, add_tasks)
    try:
        with (
            patch.object(hold, "FILLING_LEASE", HOLD),
            logging_to(folder / "round.log", logger),
            Staff(folder, settings, plan.listening) as staff,
        ):
            logger.info("%s; the servers took %.1f s", plan.name, time.monotonic() - began)
            scene = Scene(
                plan=plan, folder=folder, staff=staff, store=store, store_url=store_url, broker=broker
            )
            round_ = _Round(scene, app, jobtrack)
            round_.play()
    finally:
        jobtrack.close()
        app.close()
    if round_.problems:
        lane.replace()
    kept = bool(round_.problems) or keep
    result = Result(
        plan=plan,
        struck=round_.struck.what,
        problems=tuple(round_.problems),
        report=round_.report if round_.problems else "",
        seconds=time.monotonic() - began,
        settled_after=round_.settled_after,
        folder=str(folder) if kept else None,
        notes=tuple(round_.notes),
    )
    if not kept:
        shutil.rmtree(folder)
    return result


class _Round:
    """The steps of a round, and what they found."""

    def __init__(self, scene: Scene, app: Celery, jobtrack: JobTrack) -> None:
        self._scene = scene
        self._jobtrack = jobtrack
        self._traffic = Traffic(scene.plan, app, jobtrack)
        self.struck = Strike()
        self.problems: list[Problem] = []
        self.report = ""
        self.notes: list[str] = []
        self.settled_after = 0.0

    def play(self) -> None:
        """All of it. What goes wrong in the round itself is a problem, too."""
        try:
            self._disturb()
            case = self._await_settlement()
        except Exception as error:
            logger.exception("the round cannot go on")
            self.problems.append(Problem(kind="the round", what=f"{type(error).__name__}: {error}"))
            self.report = explain(self._scene, self.struck, self._case_if_readable(), self.problems)
            return
        logger.info("settled after %.1f s, or given up", self.settled_after)
        staff = self._scene.staff
        for process in staff.dead():
            self.problems.append(Problem(kind="ended by itself", what=f"{process.name} has ended"))
        self.notes += [f"{name} had to be killed at the end" for name in staff.dismiss()]
        logger.info("all processes are stopped")
        spool = spool_folder(self._scene.folder)
        self.problems += look_for_leftovers(staff, self._jobtrack, self._traffic.groups, spool)
        if not self.problems:  # what a worker did while it stopped counts, too
            self.problems += judge(self._case())
        if not self.problems:  # or there would be nothing left to be looked at
            self.problems += look_for_unpruned(self._jobtrack, self._scene.store_url)
        logger.info("what is left was looked for")
        if self.problems:
            self.report = explain(self._scene, self.struck, case, self.problems)

    def _disturb(self) -> None:
        self._scene.staff.hire()
        logger.info("the workers are ready")
        self._traffic.start()
        enough = self._scene.plan.strike_after
        folder = self._scene.folder
        wait_until(lambda: journal.count_begun(folder) >= enough, BUSY_SECONDS, f"{enough} bodies have begun")
        time.sleep(self._scene.plan.delay)  # drawn with the plan: it waits for nothing
        self._traffic.struck.set()
        logger.info("the fault begins")
        self.struck = strike(self._scene)
        logger.info("the fault is over: %s", self.struck.what)
        self._traffic.join()
        logger.info("all is dispatched, %d refused", len(self._traffic.refused))
        self.problems += [Problem(kind="surprise", what=what) for what in self._traffic.surprises]

    def _await_settlement(self) -> Case:
        """The case when nothing is wrong with it any more, or when the time is up."""
        began = time.monotonic()
        case: Case | None = None
        while True:
            self._revive()
            late = time.monotonic() - began > SETTLE_SECONDS
            try:
                if late or is_settled(self._jobtrack, self._traffic.groups):
                    case = self._case()
            except StoreUnavailable:
                if late:
                    raise
            problems = judge(case) if case is not None else []
            if case is not None and (late or not problems or not any(map(_may_pass, problems))):
                self.settled_after = time.monotonic() - began
                self.problems += problems
                return case
            time.sleep(LOOK_EVERY)

    def _case_if_readable(self) -> Case | None:
        try:
            return self._case()
        except Exception:
            logger.exception("the store cannot be read")
            return None

    def _revive(self) -> None:
        """Celery's worker may end when its broker goes: kombu 5.7 fails while it closes the connection.

        A service manager would start it again. What it ran is lost with it.
        """
        if not self._scene.plan.fault.of_broker:
            return
        for worker in [worker for worker in self._scene.staff.workers if not worker.is_running]:
            self.notes.append(f"{worker.name} ended by itself and was started again")
            self.struck.pids |= worker.crew
            self._scene.staff.revive(worker)

    def _case(self) -> Case:
        folder, traffic = self._scene.folder, self._traffic
        return Case(
            plan=self._scene.plan,
            strike=self.struck,
            sent=frozenset(traffic.sent),
            refused=dict(traffic.refused),
            books=read_books(self._jobtrack, traffic.groups),
            bodies=journal.read(folder / journal.BODIES),
            listeners=journal.read(folder / journal.LISTENERS),
        )


def _may_pass(problem: Problem) -> bool:
    """Whether waiting can mend it: what happened twice or ended wrongly stays so."""
    return problem.kind not in {"ran twice", "wrong end", "never ran", "unknown job"}
