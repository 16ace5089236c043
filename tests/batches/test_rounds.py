"""A few random batches; ``make batches`` runs 300."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.batches.drawing import draw
from tests.batches.run import run_plan
from tests.crash.lane import Lane
from tests.missing_servers import skipping

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 2026
BATCHES = 12


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    with Lane() as lane:
        yield lane


@pytest.mark.timeout(600)  # one that does not end is waited for, to be reported with all that is known of it
@pytest.mark.parametrize(("store", "broker"), [("redis", "redis"), ("postgresql", "rabbitmq")])
def test_random_batches_come_to_what_the_model_predicts(lane, store, broker):
    drawn_from = {"seed": SEED, "number": 1, "store": store, "broker": broker, "batches": BATCHES}
    with skipping():
        result = run_plan(draw(**drawn_from), lane, drawn_from=drawn_from)
    assert not result.problems, f"{result.report}\n\nkept in {result.folder}"
