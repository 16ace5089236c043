"""A few rounds of the crash suite, one for each kind of fault; ``make crash`` runs many more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.lane import Lane
from tests.crash.plan import Fault, draw
from tests.crash.run import run_round
from tests.missing_servers import skipping

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 2026
ROUNDS = (
    (Fault.CHILD, "redis", "rabbitmq"),
    (Fault.WORKER, "postgresql", "redis"),
    (Fault.DELIVERY, "redis", "redis"),
    (Fault.FROZEN, "postgresql", "redis"),
    (Fault.OUTAGE, "redis", "redis"),
    (Fault.STORE_KILLED, "postgresql", "redis"),
    (Fault.BROKER_KILLED, "postgresql", "rabbitmq"),
)


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    with Lane() as lane:
        yield lane


@pytest.mark.parametrize(
    ("fault", "store", "broker"), ROUNDS, ids=lambda value: getattr(value, "value", value)
)
def test_round_leaves_everything_right(lane, fault, store, broker):
    number = 1 + ROUNDS.index((fault, store, broker))
    with skipping():
        result = run_round(draw(SEED, number, store, fault=fault, broker=broker), lane)
    assert not result.problems, f"{result.report}\n\nkept in {result.folder}"
