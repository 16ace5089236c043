"""What `tests/conftest.py` makes of a test session: missing servers and leftovers are seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes

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


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Runs pytest on one module under our conftest; its exit status and what it printed."""

    def run(module: str, **environment: str) -> tuple[int, str]:
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
        command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
        result = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return result.returncode, result.stdout

    monkeypatch.delenv("CI", raising=False)
    return run


def test_missing_server_skips_with_what_to_install(session):
    status, output = session(WITHOUT_REDIS)
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


def test_process_left_behind_fails_the_session_and_is_ended(session, tmp_path):
    status, output = session(LEAVES_AN_ORPHAN.format(pid=tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())
    assert status == 1
    assert "1 passed" in output
    assert "processes left behind" in output
    assert f"{pid} (parent " in output
    assert not processes.alive(pid)
