"""What `tests/conftest.py` makes of a test session: missing servers and leftovers are seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

WITHOUT_REDIS = """
import pytest
from tests.servers import ServerMissingError, redis

def test_needs_redis(monkeypatch, request):
    def find(server, *names, package):
        raise ServerMissingError(server, names[0], package)
    monkeypatch.setattr(redis, "find", find)
    request.getfixturevalue("redis_server")
"""

# The shell ends at once, so its child's parent is by then another.
LEAVES_AN_ORPHAN = """
import pathlib, subprocess

def test_leaves_an_orphan():
    command = "sleep 1000 >/dev/null & echo $! > {pid}"
    subprocess.run(["sh", "-c", command], check=True)
"""

# Nothing of the test process itself can say what it left.
IS_KILLED = (
    LEAVES_AN_ORPHAN
    + """
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""
)


# The child, of another process group, hears nothing of Ctrl-C.
IS_INTERRUPTED = """
import pathlib, subprocess

def test_waits(redis_server):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    pathlib.Path("{pids}.new").write_text(f"{{redis_server.pid}} {{child.pid}}")
    pathlib.Path("{pids}.new").rename("{pids}")
    child.wait()
"""


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begins pytest on one module under our conftest, in a process group of its own."""
    monkeypatch.delenv("CI", raising=False)

    def begin(module: str, *more: str, **environment: str) -> subprocess.Popen[str]:
        (tmp_path / "test_inner.py").write_text(module)
        options = [
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            # As in pyproject.toml, which "-c" hides.
            "-p",
            "no:celery",
            "-p",
            "no:docker_tools",
            "-c",
            os.devnull,
            "--rootdir",
            str(tmp_path),
        ]
        # A run in the background of a script ignores Ctrl-C, and a child would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *more, str(tmp_path)],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    return begin


@pytest.fixture
def session(begin):
    """The same to its end: its exit status and what it printed."""

    def run(module: str, *more: str, **environment: str) -> tuple[int, str]:
        with begin(module, *more, **environment) as process:
            output, _ = process.communicate(timeout=100)
        return process.returncode, output

    return run


@pytest.mark.parametrize("processes_used", ["0", "1"])
def test_missing_server_skips_with_what_to_install(session, processes_used):
    status, output = session(WITHOUT_REDIS, "-n", processes_used)
    assert status == 0
    assert "1 skipped" in output
    assert "tests skipped for want of a server" in output
    assert (
        "1 skipped: redis is not installed (redis-server not found): apt-get install redis-server" in output
    )


def test_missing_server_fails_in_ci(session):
    status, output = session(WITHOUT_REDIS, CI="true")
    assert status == 1
    assert "apt-get install redis-server (CI runs every test" in output
    assert "skipped" not in output


@pytest.mark.parametrize("processes_used", ["0", "1"])
def test_process_left_behind_fails_the_session_and_is_ended(session, tmp_path, processes_used):
    status, output = session(LEAVES_AN_ORPHAN.format(pid=tmp_path / "pid"), "-n", processes_used)
    pid = int((tmp_path / "pid").read_text())
    assert status == 1
    assert "1 passed" in output
    assert "processes left behind" in output
    assert f"{pid} (parent " in output
    assert not processes.alive(pid)


def test_process_left_behind_by_a_killed_test_process_is_ended(session, tmp_path):
    status, output = session(IS_KILLED.format(pid=tmp_path / "pid"), "-n", "1", "--max-worker-restart", "0")
    pid = int((tmp_path / "pid").read_text())
    assert status == 1
    assert "crashed while running" in output
    assert f"{pid} (parent " in output
    assert not processes.alive(pid)


@pytest.mark.usefixtures("redis_server")  # skips where there is none
@pytest.mark.parametrize("processes_used", ["0", "1"])
def test_interrupted_session_leaves_nothing_behind(begin, tmp_path, processes_used):
    file = tmp_path / "pids"
    with begin(IS_INTERRUPTED.format(pids=file), "-n", processes_used) as process:
        wait_until(file.exists, 60, "the test runs")
        pids = [int(pid) for pid in file.read_text().split()]
        assert all(map(processes.alive, pids))
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=100)
    assert process.returncode == 2
    assert not any(map(processes.alive, pids))
