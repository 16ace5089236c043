"""The throw-away servers keep what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis as redis_client
import sqlalchemy as sa
from amqp.exceptions import NotFound
from kombu import Connection, Queue

from tests import processes
from tests.missing_servers import running
from tests.servers import Server, ServerFailedError, mariadb, ports, postgresql, rabbitmq, redis
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KINDS = {
    "postgresql": postgresql.start,
    "mariadb": mariadb.start,
    "redis": redis.start,
    "rabbitmq": rabbitmq.start,
}


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(KINDS[request.param]) as server:
        yield server


def write(url: str, value: str) -> None:
    if url.startswith("redis"):
        with redis_client.Redis.from_url(url) as client:
            client.set("kept", value)
        return
    if url.startswith("amqp"):
        with Connection(url, transport_options={"confirm_publish": True}) as connection:
            connection.SimpleQueue("kept").put(value)
        return
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (value VARCHAR(20))"))
        connection.execute(sa.text("INSERT INTO kept VALUES (:value)"), {"value": value})


def read(url: str) -> str | None:
    if url.startswith("redis"):
        with redis_client.Redis.from_url(url, decode_responses=True) as client:
            return client.get("kept")
    if url.startswith("amqp"):
        with Connection(url) as connection, suppress(NotFound):
            message = Queue("kept", channel=connection.default_channel).get()
            return message.payload  # it is put back, since nobody acknowledges it
        return None
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("kept"):
            return None
        return connection.scalar(sa.text("SELECT value FROM kept"))


def test_server_keeps_port_and_data_until_stopped(server):
    url = server.new_database()
    write(url, "naïve 🧾")

    server.restart()
    assert read(url) == "naïve 🧾"
    server.kill()
    assert not processes.alive(server.pid)
    server.restart()
    assert read(url) == "naïve 🧾"

    tree = [server.pid, *(child.pid for child in processes.descendants(server.pid))]
    server.stop()
    assert [pid for pid in tree if processes.alive(pid)] == []
    assert not server.directory.exists()
    server.stop()


def test_databases_are_fresh_and_apart(server):
    write(server.new_database(), "one")
    assert read(server.new_database()) is None
    assert read(server.url) is None


def test_two_servers_of_a_kind_live_side_by_side(server):
    with KINDS[server.name]() as other:
        assert other.port != server.port
        write(other.url, "other")
        assert read(server.url) is None
        assert read(other.url) == "other"


def test_mariadb_keeps_away_from_the_temporary_tables_of_others(mariadb_server):
    engine = sa.create_engine(mariadb_server.new_database(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT @@tmpdir")) == str(mariadb_server.directory)


def test_paused_server_answers_again_and_can_be_stopped(server):
    write(server.url, "kept")
    server.pause()
    server.resume()
    assert read(server.url) == "kept"
    server.pause()
    server.stop()
    assert not processes.alive(server.pid)


def test_failed_start_shows_the_log_and_leaves_nothing(monkeypatch):
    monkeypatch.setitem(postgresql.SETTINGS, "max_connections", "plenty")
    before = {child.pid for child in processes.descendants(os.getpid())}
    with (
        pytest.raises(ServerFailedError, match='max_connections": "plenty"') as failure,
        running(postgresql.start),
    ):
        pass
    assert "ended with status" in str(failure.value)
    assert {child.pid for child in processes.descendants(os.getpid())} == before


@pytest.mark.parametrize("kind", KINDS)
def test_server_dies_with_a_killed_runner_and_the_next_run_clears_up(kind):
    runner = (
        f"from tests.servers import ServerMissingError, {kind}\n"
        "try:\n"
        f"    server = {kind}.start()\n"
        "except ServerMissingError:\n"
        "    raise SystemExit('missing')\n"
        "print(server.pid, server.directory, flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", runner]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        line = process.stdout.readline()
        tree = processes.descendants(process.pid)
        process.kill()
    if not line:
        with running(KINDS[kind]):
            pytest.fail("the runner started no server: see its error output")
    pid, directory = line.split()
    assert int(pid) in {child.pid for child in tree}
    wait_until(
        lambda: not [child for child in tree if processes.alive(child.pid)], 10, "the server has ended"
    )

    assert Path(directory).exists()
    os.utime(directory, (0, 0))  # long ago
    with running(KINDS[kind]):  # or another run, at the same time
        wait_until(lambda: not Path(directory).exists(), 10, "the directory is removed")


def test_port_belongs_to_one_process_until_that_ends(monkeypatch):
    print_and_wait = "from tests.servers.ports import free_port; print(free_port(), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", print_and_wait], cwd=ROOT, text=True, **pipes) as process:
        port = int(process.stdout.readline())
        monkeypatch.setattr(ports, "RANGE", range(port, port + 1))
        assert ports.is_free(port)
        with pytest.raises(RuntimeError, match="no free port"):
            ports.free_port()
        process.kill()
    assert ports.free_port() == port
    with pytest.raises(RuntimeError, match="no free port"):
        ports.free_port()


def test_server_is_not_started_from_a_passing_thread():
    """The kernel would end it together with that thread."""
    with ThreadPoolExecutor() as threads, pytest.raises(RuntimeError, match="from the main thread"):
        threads.submit(postgresql.start).result()
