"""Random operations on every store against the model of ``model.py``.

The same runs every time; ``pytest --random-runs 2000 tests/contract/test_random_runs.py`` makes others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.machine import StoreMachine

if TYPE_CHECKING:
    from tests.contract.backends import Backend

EXAMPLES = {
    "memory": 250,
    "memory-frozen": 100,
    "sqlite": 60,
    "postgresql": 40,
    "mariadb": 30,
    "redis": 100,
    "redis-cluster": 20,
}
STEPS = 50


@pytest.mark.timeout(1800)  # for many runs; those of every day take less than a minute
def test_random_runs_agree_with_the_model(backend: Backend, request: pytest.FixtureRequest) -> None:
    asked = request.config.getoption("--random-runs")
    run_state_machine_as_test(
        lambda: StoreMachine(backend),
        settings=settings(
            max_examples=asked or EXAMPLES[backend.name],
            stateful_step_count=STEPS,
            derandomize=asked is None,
            database=None,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
