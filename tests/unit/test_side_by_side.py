"""In how many processes a run of the tests goes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.side_by_side import PROCESSES, pytest_xdist_auto_num_workers


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        (["tests"], PROCESSES),
        (["tests/unit/test_waiting.py"], PROCESSES),
        (["tests/unit/test_waiting.py::test_one", "tests/contract"], PROCESSES),
        (["tests/unit/test_waiting.py::test_one"], 0),
        (["tests/unit/test_waiting.py::test_one", "tests/unit/test_waiting.py::test_other[a/b]"], 0),
    ],
)
def test_single_tests_run_in_the_process_that_was_started(arguments, processes):
    assert pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments)) == processes
