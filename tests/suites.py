"""Two suites in one tree: the matrix with pytest-celery's plugin, everything else without it.

The plugin's fixtures come from containers and shadow those of ``celery.contrib.pytest``, so it must not be
there by default: ``pyproject.toml`` turns it off, ``tools/run-tests`` turns it on for a second run, and what
belongs to the other run is deselected here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import celery
import kombu
import redis
import sqlalchemy as sa

if TYPE_CHECKING:
    import pytest

MATRIX = Path(__file__).parent / "matrix"
PLUGIN = "celery"  # the name of pytest-celery's entry point


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("matrix", "the compatibility matrix")
    group.addoption(
        "--full-matrix", action="store_true", help="try every cell, not only every pair of values"
    )
    group.addoption(
        "--containers",
        action="store_true",
        help="take Redis and RabbitMQ from containers, where they are brokers",
    )


def pytest_report_header() -> str:
    found = {"celery": celery, "kombu": kombu, "redis": redis, "sqlalchemy": sa}
    return "tried: " + ", ".join(f"{name} {module.__version__}" for name, module in found.items())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    with_plugin = config.pluginmanager.hasplugin(PLUGIN)
    others = [item for item in items if (MATRIX in item.path.parents) is not with_plugin]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
