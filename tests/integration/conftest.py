from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.live import Shop


@pytest.fixture
def make_shop():
    """Makes a shop with these settings, without a worker yet; on SQLite and files unless it is given URLs."""
    with ExitStack() as stack:

        def make(**conf):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobtrack-shop-"))
            opened = Shop(Path(folder), **conf)
            stack.callback(opened.close)
            return opened

        yield make


@pytest.fixture
def shop(make_shop):
    """A shop with the usual settings."""
    return make_shop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb", "redis"])
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
