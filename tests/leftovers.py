"""A test session leaves no process behind: the check at its end.

What the session starts carries a mark in its environment, and so do the children of that. So those are
found too whose parent died before them, as the children of a killed worker do.

Where the tests are spread over several processes, each of these is a session with a mark of its own that the
first process gives to it: what one could not look for itself, because it was killed, is found by the first.
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests import processes
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "JOBTRACK_TEST_SESSION"  # handed on by tests/servers/process.py
GRACE_SECONDS = 5
# They serve the runner's own process for as long as it lives.
OF_THE_RUNNER = ("resource_tracker", "semaphore_tracker", "multiprocessing.forkserver")


class Leftovers:
    """A pytest plugin: fails the session if a process is left, says which, and ends it."""

    def __init__(self, config: pytest.Config) -> None:
        self.found: list[str] = []
        given = getattr(config, "workerinput", {})  # to one of several processes, by pytest-xdist
        self._mark: str = given.get(MARK) or uuid.uuid4().hex
        self._marks = {self._mark}
        self._outer = os.environ.get(MARK)
        os.environ[MARK] = self._mark

    @pytest.hookimpl(trylast=True)  # after the teardown of what an interrupted session still holds
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        running: Iterable[processes.Process] = ()
        try:
            wait_until(lambda: not self._running(), GRACE_SECONDS)
        except AssertionError:
            running = self._running()
        for process in running:
            _end(process.pid)
            self.found.append(str(process))
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[MARK] = self.found
        if self.found and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._outer is None:
            del os.environ[MARK]
        else:
            os.environ[MARK] = self._outer

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("processes left behind (ended now)", red=True)
            for process in self.found:
                terminalreporter.line(process)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[MARK] = mark = uuid.uuid4().hex
        self._marks.add(mark)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # One that was killed says nothing.
        self.found += getattr(node, "workeroutput", {}).get(MARK, [])

    def _running(self) -> list[processes.Process]:
        ours = os.getpid()
        found = {process.pid: process for process in processes.descendants(ours)}
        for mark in self._marks:
            found |= {process.pid: process for process in processes.marked(MARK, mark)}
        found.pop(ours, None)
        return [process for process in found.values() if not _serves_the_runner(process)]


def _serves_the_runner(process: processes.Process) -> bool:
    return process.parent == os.getpid() and any(name in process.command for name in OF_THE_RUNNER)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
