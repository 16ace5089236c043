"""One group with jobs of every kind, under one worker, in each cell of the matrix."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from celery.concurrency import ALIASES

from tests.integration.live import BOUND
from tests.matrix.cells import Cell
from tests.waiting import wait_until

STOP_SECONDS = 20.0  # an idle worker; on the file system Celery takes 4 to 7


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job, and how it has to end.

    ``result`` is what Celery's own ``AsyncResult`` must say in the end; ``None`` where that is Celery's
    own business and differs by its version.
    """

    task: str
    state: str
    reason: str | None = None
    attempts: int = 1
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    count: int = 1
    result: str | None = None
    value: Any = None
    ended_by: str = ""
    pools: tuple[str, ...] = ()


LATER = (("countdown", 2),)

KINDS = (
    Kind(task="add", args=(1, 2), count=8, state="SUCCESS", result="SUCCESS", value=3),
    Kind(
        task="flaky", args=(2, True), count=2, attempts=3, state="SUCCESS", result="SUCCESS", value="at last"
    ),
    Kind(task="error", count=2, state="FAILURE", reason="error", result="FAILURE", value=ValueError),
    Kind(
        task="hopeless",
        args=(True,),
        attempts=3,
        state="FAILURE",
        reason="error",
        result="FAILURE",
        value=ConnectionError,
    ),
    Kind(task="ignore", count=2, state="SKIPPED", reason="ignored"),
    Kind(task="reject", state="FAILURE", reason="rejected"),
    Kind(task="soft", state="FAILURE", reason="timeout", result="FAILURE", pools=("prefork",)),
    Kind(
        task="add",
        args=(1, 2),
        options=LATER,
        ended_by="revoke",
        attempts=0,
        state="REVOKED",
        reason="cancelled",
        result="REVOKED",
    ),
    Kind(
        task="add",
        args=(1, 2),
        options=LATER,
        ended_by="cancel",
        attempts=0,
        state="REVOKED",
        reason="cancelled",
        result="REVOKED",
    ),
    Kind(
        task="add",
        args=(1, 2),
        options=(("expires", 0.001),),
        attempts=0,
        state="REVOKED",
        reason="expired",
        result="REVOKED",
    ),
)


def test_jobs_of_every_kind_end_rightly_and_the_worker_stops(cell, celery_setup, celery_worker, shop):
    assert celery_setup.ready()
    # A worker may be ready before it listens, and a revocation that nobody hears is gone.
    wait_until(lambda: shop.app.control.ping(timeout=1), BOUND, "the worker does not answer")
    module = ALIASES[cell.pool].partition(":")[0].rpartition(".")[2]
    assert f"({module})" in celery_worker.logs()  # in its banner
    group = shop.jobtrack.groups.create(str(cell))
    kinds = [kind for kind in KINDS if cell.pool in (kind.pools or (cell.pool,)) for _ in range(kind.count)]

    with group.filling():
        sent = [(kind, send(shop, kind, group)) for kind in kinds]
    shop.await_completion(group)

    for kind, result in sent:
        details = shop.jobtrack.inspect.job(result.id)
        ended = (details.state, details.reason, len(details.attempts))
        assert ended == (kind.state, kind.reason, kind.attempts), details
        assert not any(attempt.is_open for attempt in details.attempts)
        check_result(kind, result)
    status = group.status()
    expected = Counter(kind.state for kind in kinds)
    assert status.total == len(kinds)
    assert (status.succeeded, status.failed, status.revoked, status.skipped) == tuple(
        expected[state] for state in ("SUCCESS", "FAILURE", "REVOKED", "SKIPPED")
    )

    assert celery_worker.container.process.stop(STOP_SECONDS) == 0
    assert shop.jobtrack.inspect.workers() == []
    assert shop.events(group) == ["started", "completed"]


@pytest.mark.parametrize(
    "cell", [Cell(broker="redis", store="sqlite", pool="prefork")], ids=str, indirect=True
)
def test_a_node_can_be_killed_and_brought_back(cell, celery_setup, celery_worker, shop):
    assert celery_setup.ready()
    group, first = shop.jobtrack.groups.create(str(cell)), celery_worker.hostname()
    result = shop.task("wait").apply_async(("killed",), job_group=group)
    shop.await_running("killed")

    celery_worker.kill()
    assert celery_worker.container.status == "exited"
    celery_worker.container.restart()
    assert celery_worker.hostname() != first

    shop.await_completion(group)
    assert result.job().reason == "worker_lost"
    celery_worker.assert_log_exists("ready.")


def send(shop, kind, group):
    result = shop.task(kind.task).apply_async(kind.args, job_group=group, **dict(kind.options))
    if kind.ended_by == "revoke":
        shop.app.control.revoke(result.id)
    elif kind.ended_by == "cancel":
        assert result.cancel() is True
    return result


def check_result(kind, result):
    if kind.result is None:
        return
    with suppress(AssertionError):
        wait_until(lambda: result.state == kind.result, BOUND)
    assert result.state == kind.result, kind
    if kind.result == "SUCCESS":
        assert result.get(timeout=BOUND) == kind.value
    elif kind.value is not None:
        with pytest.raises(kind.value):
            result.get(timeout=BOUND)
