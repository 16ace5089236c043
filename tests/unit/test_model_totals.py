from __future__ import annotations

import pytest

from celery_jobtrack.model.group import Totals
from celery_jobtrack.model.state import FINAL, JobState
from tests.unit.values import NOW, group


def test_totals_begin_with_nothing():
    assert Totals() == Totals(total=0, succeeded=0, failed=0, revoked=0, skipped=0)


def test_totals_count_what_has_ended():
    totals = Totals(total=20, succeeded=1, failed=2, revoked=4, skipped=8)
    assert (totals.final, totals.outstanding) == (15, 5)


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        (JobState.SUCCESS, Totals(total=3, succeeded=1)),
        (JobState.FAILURE, Totals(total=3, failed=1)),
        (JobState.REVOKED, Totals(total=3, revoked=1)),
        (JobState.SKIPPED, Totals(total=3, skipped=1)),
    ],
)
def test_totals_count_one_end(state, counted):
    assert Totals(total=3).counting(state) == counted
    assert Totals(total=3).counting(state, by=2).final == 2


@pytest.mark.parametrize("state", sorted(set(JobState) - FINAL))
def test_totals_count_no_state_that_is_not_final(state):
    with pytest.raises(KeyError):
        Totals().counting(state)


def test_totals_add_up_field_by_field():
    left = Totals(total=1, succeeded=2, failed=3, revoked=4, skipped=5)
    right = Totals(total=10, succeeded=20, failed=30, revoked=40, skipped=50)
    assert left.plus(right) == Totals(total=11, succeeded=22, failed=33, revoked=44, skipped=55)


def test_group_lifetime_is_all_generations():
    record = group(3, succeeded=1, earlier=Totals(total=5, failed=5))
    assert record.lifetime == Totals(total=8, succeeded=1, failed=5)
    assert record.outstanding == 2


def test_group_is_over_when_it_has_completed():
    assert not group().is_over
    assert group(completed_at=NOW).is_over
