"""The app of a run: members that behave as their plan says, and callbacks; all write down that they ran."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore

from celery_jobtrack import TrackableTask
from celery_jobtrack.features.groups import hold
from celery_jobtrack.integration.running import running_of
from tests.batches.acting import Acting
from tests.batches.drawing import draw
from tests.batches.plan import QUEUES, Ending, Kind, Member
from tests.crash import journal
from tests.crash.stage import HOLD, open_shop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from celery import Celery

    from celery_jobtrack import JobTrack

PLAN = "JOBTRACK_BATCHES_PLAN"
"""What the plan is drawn from."""

OPTIONS: Mapping[Kind, Mapping[str, Any]] = {Kind.LATE: {"acks_late": True, "reject_on_worker_lost": True}}
SETTINGS = {"task_queues": {name: {} for name in QUEUES}, "task_default_queue": QUEUES[0]}


def tasks_of(members: Mapping[str, Member]) -> Callable[[Celery, JobTrack, Path], None]:
    """What adds the tasks of these members, and that of callbacks, to an app."""

    def add_tasks(app: Celery, jobtrack: JobTrack, folder: Path) -> None:
        bodies, acting = folder / journal.BODIES, Acting(app, jobtrack, folder)
        tracked = {"base": TrackableTask, "shared": False, "bind": True}
        for kind in Kind:
            name, options = f"batches.{kind.value}", OPTIONS.get(kind, {})
            app.task(name=name, **tracked, **options)(_member_body(members, bodies, acting))
        app.task(name="batches.callback", **tracked)(_callback_body(bodies))

    return add_tasks


def _member_body(members: Mapping[str, Member], bodies: Path, acting: Acting) -> Callable[..., None]:
    def work(task: Any, name: str) -> None:
        member, facts = members[name], _facts(task, name)
        journal.write(bodies, phase="begin", **facts)
        time.sleep(member.seconds)
        if facts["run"] == 1:  # what died after it had acted must not act again when it is retried
            _act(acting, task, member)
        journal.write(bodies, phase="end", how="end", **facts)
        if facts["retries"] < member.failures or member.kind is Kind.WORN:
            raise task.retry(exc=OSError("try again"), countdown=0, max_retries=member.failures)
        if member.kind is Kind.MENDED and facts["run"] == 1:
            raise ConnectionError("not yet")
        if member.kind is Kind.BROKEN:
            raise ValueError("broken on purpose")
        if member.kind is Kind.IGNORED:
            raise Ignore

    return work


def _act(acting: Acting, task: Any, member: Member) -> None:
    target = member.name.rpartition(".")[0]
    if member.kind is Kind.ADDER:
        acting.add(task.job_group, target, member.more)
    elif member.kind is Kind.NESTER:
        for batch in member.more:
            acting.dispatch(batch, task.job_group)
    elif member.kind is Kind.CANCELLER:
        acting.cancel(task.job_group, target)


def _callback_body(bodies: Path) -> Callable[..., None]:
    def call(task: Any, group: str, kind: str, number: int, ending: str, seconds: float) -> None:
        facts = {**_facts(task, f"{kind} {number}"), "group": group}
        journal.write(bodies, phase="begin", **facts)
        time.sleep(seconds)
        journal.write(bodies, phase="end", how="end", **facts)
        if ending == Ending.RETRIED and not facts["retries"]:
            raise task.retry(exc=OSError("try again"), countdown=0)
        if ending == Ending.FAILS:
            raise ValueError("broken on purpose")

    return call


def _facts(task: Any, name: str) -> dict[str, Any]:
    running = running_of(task)
    assert running is not None, f"{name} is not tracked"
    return {
        "name": name,
        "job": task.request.id,
        "run": running.start.origin.run,
        "retries": task.request.retries,
    }


if PLAN in os.environ:
    hold.FILLING_LEASE = HOLD
    _members = draw(**json.loads(os.environ[PLAN])).all_members()
    _shop = open_shop("batches", tasks_of(_members))
    assert _shop is not None
    app, jobtrack, _listeners = _shop
