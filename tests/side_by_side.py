"""Tests side by side, with pytest-xdist: how many processes ``pytest -n auto`` takes.

Each of them has servers of its own, so that no test meets what another does there. ``pytest -n 0`` or no
``-n`` at all is one process, as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

# More than a small machine has processors: a test mostly waits for workers, servers and leases.
PROCESSES = 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return 0 if _are_single_tests(config.args) else PROCESSES


def _are_single_tests(arguments: Sequence[str]) -> bool:
    """Whether only tests were named, which are few and mostly looked at."""
    return all("::" in argument for argument in arguments)
