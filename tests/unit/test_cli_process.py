"""The command as a shell runs it: entry point, exit codes, pipes, terminals."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.testing.steps import WORKER, enqueue, finish, group, run, start
from tests.unit.cli_fixtures import ENVIRONMENT, LONG_ID

APP = """
import os
import click
from celery import Celery

app = Celery("shop", broker="memory://")
app.conf.jobtrack_strategy = os.environ.get("SHOP_STORE", "sqlite:///jobs.db")
app.user_options["preload"].add(click.Option(["--shard"], help="A user's own option."))
"""
TIMEOUT = 60
FULL = Path("/dev/full")


class Shell:
    def __init__(self, folder):
        self.folder = folder
        (folder / "shop.py").write_text(APP)
        self.store = SqlStore(f"sqlite:///{folder}/jobs.db")
        self.store.open()
        self.environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}

    def command(self, *arguments):
        return [sys.executable, "-m", "celery", "-A", "shop", "jobtrack", *arguments]

    def run(self, *arguments, **environment):
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


class Terminal:
    """A command on a pseudo-terminal of 80 columns."""

    def __init__(self, shell, *arguments, **environment):
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        self.shown = ""
        self._ours = ours
        self.process = subprocess.Popen(
            shell.command(*arguments),
            cwd=shell.folder,
            env={**shell.environment, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def read_until(self, text=None):
        """Read until the text was shown, or to the end."""
        deadline = time.monotonic() + TIMEOUT
        while text is None or text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown in {TIMEOUT} s: {self.shown!r}"
            if not select.select([self._ours], [], [], 1)[0]:
                continue
            try:
                read = os.read(self._ours, 65536)
            except OSError:  # the other side is closed
                read = b""
            if not read:
                assert text is None, f"{text!r} was never shown: {self.shown!r}"
                break
            self.shown += read.decode()
        return self.shown


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.store.close()


def test_entry_point_is_found_and_takes_an_apps_own_options(shell):
    run(shell.store, LONG_ID)
    found = shell.run("--shard", "7", "jobs", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["items"][0]["id"] == LONG_ID


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("job", "nope"), {}, 2),
        (("group", "nope", "--watch"), {}, 2),
        (("jobs", "--cursor", "x"), {}, 1),
        (("status",), {"SHOP_STORE": "nowhere:Store"}, 1),
        (("status", "--json"), {"SHOP_STORE": "sqlite:////dev/null/jobs.db"}, 1),
        (("check",), {"SHOP_STORE": "mysql://u:geheim@127.0.0.1:1/jobs"}, 1),
        (("db", "upgrade"), {"SHOP_STORE": "postgresql://u:geheim@127.0.0.1:1/jobs"}, 1),
    ],
)
def test_failure_is_one_line_and_an_exit_code(shell, arguments, environment, code):
    failed = shell.run(*arguments, **environment)
    assert (failed.returncode, failed.stdout) == (code, "")
    assert failed.stderr.startswith("Error: ")
    assert failed.stderr.count("\n") == 1
    assert "geheim" not in failed.stderr


def test_without_an_app_it_says_how_to_name_one(shell):
    command = [sys.executable, "-m", "celery", "jobtrack", "status"]
    failed = subprocess.run(
        command, cwd=shell.folder, env=shell.environment, capture_output=True, text=True, check=False
    )
    said = "Error: no app was named: celery -A your_app jobtrack …\n"
    assert (failed.returncode, failed.stderr) == (1, said)


def test_what_is_logged_is_one_line_without_traceback(shell):
    shell.store.register_worker(WORKER, 3600)
    enqueue(shell.store, "lost", message=b"\x00 is no message")
    (shell.folder / "shop.py").write_text(f"{APP}\napp.conf.jobtrack_lost_message_after = 0.001\n")
    checked = shell.run("check")
    assert checked.returncode == 0
    (logged,) = checked.stderr.splitlines()
    assert logged.startswith("Error: the kept message of job lost (shop.resize) cannot be published")


def test_step_that_fails_is_one_line_and_exit_code_1(shell):
    shell.store.register_worker(WORKER, 3600)
    enqueue(shell.store, "lost")
    broken = "from celery_jobtrack.integration.ports import CeleryPorts\n"
    broken += "CeleryPorts.queue_is_empty = lambda self, queue: 1 / 0\n"
    (shell.folder / "shop.py").write_text(f"{APP}\napp.conf.jobtrack_lost_message_after = 0.001\n{broken}")
    checked = shell.run("check")
    assert checked.returncode == 1
    logged, said = checked.stderr.splitlines()
    assert logged.startswith("Error: the checker's step 'publish lost messages again' failed")
    assert said.startswith("Error: a step failed")


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_closed_pipe_is_no_traceback(shell, flags):
    for number in range(300):
        enqueue(shell.store, f"{number}-{'x' * 200}")
    with subprocess.Popen(
        shell.command("jobs", "--limit", "1000", *flags),
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(TIMEOUT)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full to stand in for a full disk")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_is_one_line(shell, unbuffered):
    with FULL.open("w") as full:
        failed = subprocess.run(
            shell.command("status"),
            cwd=shell.folder,
            env={**shell.environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert (failed.returncode, failed.stderr) == (1, "Error: [Errno 28] No space left on device\n")


def test_colours_are_for_terminals_and_can_be_refused(shell):
    run(shell.store, LONG_ID)
    with Terminal(shell, "jobs") as terminal:
        assert "\x1b[32mSUCCESS\x1b[0m" in terminal.read_until()
    with Terminal(shell, "jobs", NO_COLOR="1") as terminal:
        assert "\x1b[32m" not in terminal.read_until()
    assert "\x1b" not in shell.run("jobs").stdout


def test_signs_that_a_terminal_does_not_have_are_spelled_out(shell):
    group(shell.store, "g", title="日本 🚫")
    found = shell.run("groups", PYTHONIOENCODING="ascii")
    assert found.returncode == 0
    assert "\\u65e5\\u672c \\U0001f6ab" in found.stdout


def test_watch_on_a_terminal_draws_a_bar_and_ends_with_the_group(shell):
    group(shell.store, "g", title="[b]Import[/b]")
    start(shell.store, "j1", "t1", group_id="g")
    enqueue(shell.store, "j2", group_id="g")
    with Terminal(shell, "group", "g", "--watch", "--interval", "0.1") as terminal:
        assert "[b]Import[/b]" in terminal.read_until("0 %  0 of 2")
        finish(shell.store, "j1", "t1", group_id="g")
        terminal.read_until("50 %  1 of 2")
        run(shell.store, "j2", group_id="g")
        assert terminal.read_until().endswith("\x1b[?25h"), "the cursor is shown again"
        assert terminal.process.wait(TIMEOUT) == 0
    assert "100 %  2 of 2" in terminal.shown


def test_watch_interrupted_leaves_the_terminal_in_order(shell):
    group(shell.store, "g")
    start(shell.store, "j1", "t1", group_id="g")
    with Terminal(shell, "group", "g", "--watch", "--interval", "0.1") as terminal:
        terminal.read_until("0 %  0 of 1")
        terminal.process.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        assert terminal.process.wait(TIMEOUT) == 130
    assert "Traceback" not in shown
    assert shown.endswith("\x1b[?25h")
