"""What people and the checker ask of a full store, and how long it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery import Celery

from benchmarks.clock import milliseconds
from benchmarks.filling import RARE
from celery_jobtrack import JobTrack
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def ask_all(url: str) -> dict[str, dict[str, float]]:
    """Milliseconds, median and worst of 20, of each question, through the public face.

    Args:
        url: Of a store that is full.
    """
    app = Celery("benchmarks", broker="memory://", set_as_current=False)
    app.conf.jobtrack_strategy = url
    jobtrack = JobTrack(app)
    checker = jobtrack.runtime.checker()
    try:
        return {name: milliseconds(ask) for name, ask in _questions(jobtrack, checker.tick).items()}
    finally:
        checker.hand_over()
        jobtrack.close()


def _questions(jobtrack: JobTrack, tick: Callable[[], object]) -> Mapping[str, Callable[[], object]]:
    jobs = jobtrack.inspect.jobs
    first = jobs()
    middle = jobtrack.groups.list(limit=1000).items[-1]
    recently = jobtrack.store.now() - timedelta(minutes=1)
    long_ago = jobtrack.store.now() - timedelta(days=1)

    def page(**filters: Any) -> Callable[[], object]:
        return lambda: jobs(**filters)

    return {
        "jobs": page(),
        "jobs, second page": page(cursor=first.cursor),
        **{f"jobs, state={state}": page(state=state) for state in JobState},
        "jobs, task": page(task="shop.task_1"),
        "jobs, rare task": page(task=RARE),
        "jobs, unknown task": page(task="unknown"),
        "jobs, queue": page(queue="high"),
        "jobs, rare queue": page(queue=RARE),
        "jobs, tag": page(tag="tagged"),
        "jobs, rare tag": page(tag=RARE),
        "jobs, group": page(group=middle),
        "jobs, group and state": page(group=middle, state=JobState.SUCCESS),
        "jobs, task and state=FAILURE": page(task="shop.task_19", state=JobState.FAILURE),
        "jobs, since a minute": page(since=recently),
        "jobs, since a day": page(since=long_ago),
        "job": lambda: jobtrack.inspect.job(first.items[-1].id),
        "groups.get().status()": lambda: jobtrack.groups.get(middle.id).status(),
        "groups": jobtrack.groups.list,
        "counts": jobtrack.inspect.counts,
        "group_counts": jobtrack.inspect.group_counts,
        "event_counts": jobtrack.inspect.event_counts,
        "checker tick": tick,
    }
