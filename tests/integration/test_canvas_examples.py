"""Celery's documented canvas gives the same with tracked tasks as with plain ones."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from celery_jobtrack import JobTrack
from tests.integration.canvas_examples import EXAMPLES
from tests.integration.canvas_kitchen import BOUND, Kitchen
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def kitchens(redis_server):
    """The same tasks, plain and tracked, each with a worker and a database of its own."""
    with ExitStack() as stack:

        def make(store=""):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobtrack-canvas-"))
            kitchen = Kitchen(Path(folder), redis_server.new_database(), store and f"{store}{folder}/jobs.db")
            stack.callback(kitchen.close)
            stack.enter_context(kitchen.worker())
            return kitchen

        yield make(), make("sqlite:///")


@pytest.mark.parametrize("name", EXAMPLES)
def test_canvas_gives_the_same_with_tracked_tasks(kitchens, name):
    plain, tracked = kitchens
    assert EXAMPLES[name](tracked) == EXAMPLES[name](plain)


def test_canvas_leaves_nothing_open(kitchens):
    """Runs last: all that was sent above has ended, and so has every group."""
    _, tracked = kitchens
    store = JobTrack.of(tracked.app).store
    wait_until(
        lambda: not any(n for state, n in store.counts().items() if not state.is_final),
        BOUND,
        "jobs of canvas have not ended",
    )
