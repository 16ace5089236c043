"""Databases for the tests of the SQL store: one of each kind, and a namespace of its own for each test."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.sql import SqlStore

_NUMBERS = count(1)


@pytest.fixture(scope="session", params=["sqlite", "postgresql", "mariadb"])
def sql_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('sql') / 'jobs.db'}"
    return request.getfixturevalue(f"{request.param}_server").new_database()


@pytest.fixture(scope="session", params=["postgresql", "mariadb"])
def sql_server_url(request: pytest.FixtureRequest) -> str:
    """A database where transactions of several processes run at once."""
    return request.getfixturevalue(f"{request.param}_server").new_database()


@pytest.fixture
def sql_namespace() -> str:
    return f"test{next(_NUMBERS)}"


@pytest.fixture
def sql_store(sql_url: str, sql_namespace: str) -> Iterator[SqlStore]:
    from celery_jobtrack.strategies.sql import SqlStore

    store = SqlStore(sql_url, namespace=sql_namespace)
    store.open()
    yield store
    store.close()
