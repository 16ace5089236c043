from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.integration.live import Shop


@pytest.fixture
def shop():
    """A shop of its own, on SQLite, without a worker yet."""
    with tempfile.TemporaryDirectory(prefix="jobtrack-shop-") as folder:
        opened = Shop(Path(folder))
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def running_shop(request):
    """A shop with one worker, shared by the tests of a module, on every kind of store."""
    url = ""
    if request.param != "sqlite":
        url = request.getfixturevalue(f"{request.param}_server").new_database()
    with tempfile.TemporaryDirectory(prefix="jobtrack-shop-") as folder:
        opened = Shop(Path(folder), url)
        with opened.worker() as worker:
            opened.the_worker = worker
            yield opened
        opened.close()
