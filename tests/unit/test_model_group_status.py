from __future__ import annotations

import pytest

from celery_jobtrack.model.group import describe_status
from celery_jobtrack.model.state import GroupState, JobState
from tests.unit.values import NOW, at, group


def status(record, live=None, *, filling=False, now=NOW):
    return describe_status(record, live or {}, filling=filling, now=now)


def test_status_divides_the_outstanding_by_state():
    live = {JobState.STARTED: 2, JobState.RETRY: 3, JobState.WAITING: 4, JobState.ENQUEUED: 99}
    found = status(group(20, succeeded=1, failed=2, revoked=1, skipped=1), live)
    assert (found.started, found.retrying, found.waiting, found.enqueued) == (2, 3, 4, 6)
    assert (found.succeeded, found.failed, found.revoked, found.skipped) == (1, 2, 1, 1)
    assert (found.total, found.final, found.outstanding) == (20, 5, 15)


def test_status_never_counts_below_nothing():
    assert status(group(1), {JobState.STARTED: 5}).enqueued == 0
    found = status(group(3), {JobState.STARTED: 1, JobState.RETRY: 9, JobState.WAITING: -2})
    assert (found.enqueued, found.waiting, found.started, found.retrying) == (0, 0, 1, 2)
    assert status(group(2), {JobState.RETRY: -1}).enqueued == 2


def test_status_copies_the_group():
    record = group(title="T", state=GroupState.RUNNING, generation=3, started_at=at(1), completed_at=at(2))
    found = status(record, filling=True)
    assert (found.group_id, found.title, found.state, found.generation) == ("g", "T", GroupState.RUNNING, 3)
    assert (found.created_at, found.started_at, found.completed_at) == (NOW, at(1), at(2))
    assert found.filling


@pytest.mark.parametrize(
    ("record", "percent"),
    [
        (group(), 0.0),
        (group(completed_at=NOW), 100.0),
        (group(4), 0.0),
        (group(4, succeeded=1), 25.0),
        (group(4, succeeded=1, failed=1, revoked=1, skipped=1), 100.0),
        (group(3, failed=1), pytest.approx(33.333, abs=0.001)),
    ],
)
def test_status_percent(record, percent):
    assert status(record).percent == percent


@pytest.mark.parametrize(
    ("record", "eta"),
    [
        (group(4, succeeded=1), None),
        (group(4, started_at=NOW), None),
        (group(4, succeeded=1, started_at=NOW), at(40)),
        (group(4, succeeded=1, failed=1, started_at=NOW), at(20)),
        (group(2, succeeded=2, started_at=NOW), None),
        (group(2, succeeded=2, started_at=NOW, completed_at=at(5)), None),
    ],
)
def test_status_eta_follows_the_rate_so_far(record, eta):
    assert status(record, now=at(10)).eta == eta
