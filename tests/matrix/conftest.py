"""pytest-celery's fixtures, filled with local processes: the cell says with which."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from pytest_celery import (
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestWorker,
    RabbitMQTestBroker,
    RedisTestBackend,
    RedisTestBroker,
)

from tests.integration.live import Shop
from tests.matrix import engine
from tests.matrix.cells import every_cell, pairwise
from tests.matrix.local import Files, LocalServer, LocalWorker

BROKER_NODES = {"filesystem": CeleryTestBroker, "redis": RedisTestBroker, "rabbitmq": RabbitMQTestBroker}

# Celery 5.7 runs ten jobs a second on gevent and RabbitMQ unless these are off.
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


def pytest_generate_tests(metafunc):
    chosen = metafunc.definition.get_closest_marker("parametrize")  # by the test itself
    if "cell" in metafunc.fixturenames and not chosen:
        cells = every_cell()
        if not metafunc.config.getoption("full_matrix"):
            cells = pairwise(cells)
        metafunc.parametrize("cell", cells, ids=str, indirect=True)


@pytest.fixture
def cell(request):
    """The combination that is tried."""
    return request.param


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="jobtrack-matrix-") as path:
        yield Path(path)


def local_server(request, name):
    server = request.getfixturevalue(f"{name}_server")
    return LocalServer(server=server, url=server.new_database())


@pytest.fixture
def celery_broker(request, cell, folder):
    """The broker's node: a local server or a folder, a container if that was asked for."""
    if cell.broker != "filesystem" and request.config.getoption("containers"):
        engine.require()
        return request.getfixturevalue(f"celery_{cell.broker}_broker")
    if cell.broker == "filesystem":
        return CeleryTestBroker(Files(url="filesystem://"))
    return BROKER_NODES[cell.broker](local_server(request, cell.broker))


@pytest.fixture
def celery_backend(request, cell, folder):
    """The node of Celery's result backend: Redis where the store is one, files elsewhere."""
    if cell.store == "redis":
        backend = RedisTestBackend(local_server(request, "redis"))
    else:
        results = folder / "results"
        results.mkdir()
        backend = CeleryTestBackend(Files(url=f"file://{results}"))
    yield backend
    backend.teardown()


@pytest.fixture
def store_url(request, cell, folder):
    """The store of this test, empty."""
    if cell.store == "sqlite":
        return f"sqlite:///{folder / 'jobtrack.db'}"
    return local_server(request, cell.store).url


@pytest.fixture
def shop(celery_setup_config, folder, store_url):
    """The test's side of the app, with the tasks and the listeners of the live tests."""
    shop = Shop(
        folder,
        store_url,
        celery_setup_config["broker_url"],
        result_backend=celery_setup_config["result_backend"],
    )
    yield shop
    shop.close()


@pytest.fixture
def celery_setup_app(shop):
    return shop.app


@pytest.fixture
def celery_worker(cell, shop):
    """The worker's node: a process on this machine, with this cell's pool."""
    quiet = QUIET if (cell.pool, cell.broker) == ("gevent", "rabbitmq") else ()
    worker = CeleryTestWorker(LocalWorker(shop, "-P", cell.pool, *quiet), shop.app)
    yield worker
    worker.teardown()
