"""CPU time of processes with their children, those that have ended included."""

from __future__ import annotations

import time

import psutil

QUIET_SECONDS = 0.3
QUIET_CPU = 0.011
"""Seconds of CPU in ``QUIET_SECONDS`` up to which a process counts as idle: one tick of the kernel."""


def seconds(pid: int) -> float:
    """CPU seconds that a process and its descendants have used since they began."""
    while True:
        try:
            root = psutil.Process(pid)
            return sum(_own(each) for each in [root, *root.children(recursive=True)])
        except psutil.NoSuchProcess:
            if not psutil.pid_exists(pid):
                raise
            # A child ended while we looked: what it used is now among its parent's.


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def when_idle(pid: int, timeout: float = 15.0) -> float:
    """CPU seconds of a process tree that has come to rest.

    Args:
        pid: The tree's root.
        timeout: Seconds after which it is read all the same: the figure is then a little too high.
    """
    deadline = time.monotonic() + timeout
    used = seconds(pid)
    while True:
        time.sleep(QUIET_SECONDS)
        before, used = used, seconds(pid)
        if used - before <= QUIET_CPU or time.monotonic() > deadline:
            return used
