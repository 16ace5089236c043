"""What every test may ask for: the servers, each started on its first use and kept for the session."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests import missing_servers, suites
from tests.leftovers import Leftovers
from tests.servers import mariadb, postgresql, rabbitmq, redis, redis_cluster, redis_sentinel
from tests.side_by_side import pytest_xdist_auto_num_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_xdist_auto_num_workers"]  # asked for before pytest_configure


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "make this many random runs of each store, other ones each time"
    parser.addoption("--random-runs", type=int, default=None, metavar="N", help=help_text)
    suites.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    # Where the spools of stores lie that do not answer.
    state = tempfile.TemporaryDirectory(prefix="jobtrack-state-")
    config.add_cleanup(state.cleanup)
    os.environ["XDG_STATE_HOME"] = state.name
    config.pluginmanager.register(missing_servers)
    config.pluginmanager.register(suites)
    config.pluginmanager.register(Leftovers(config))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgreSQL]:
    """A PostgreSQL for the whole session: take ``new_database()``, and leave it running."""
    with missing_servers.running(postgresql.start) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariaDB]:
    """A MariaDB for the whole session: take ``new_database()``, and leave it running."""
    with missing_servers.running(mariadb.start) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[redis.Redis]:
    """A Redis for the whole session: take ``new_database()``, and leave it running."""
    with missing_servers.running(redis.start) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[rabbitmq.RabbitMQ]:
    """A RabbitMQ for the whole session: take ``new_database()``, a virtual host, and leave it running."""
    with missing_servers.running(rabbitmq.start) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster_server() -> Iterator[redis_cluster.RedisCluster]:
    """A Redis Cluster for the whole session: empty it with ``flush()``, and leave it running."""
    with missing_servers.running(redis_cluster.start) as server:
        yield server


@pytest.fixture
def redis_sentinel_trio() -> Iterator[redis_sentinel.SentinelTrio]:
    """A master, its replica and a sentinel, for one test that may end them."""
    with missing_servers.running(redis_sentinel.start) as servers:
        yield servers
