"""Ports that are free and likely to stay so."""

from __future__ import annotations

import random
import socket
import sys

HOST = "127.0.0.1"
# Under the kernel's ephemeral range: while a server is down for a restart, no outgoing connection of
# anyone can be given its port. No well-known server has its standard port here.
RANGE = range(28100, 32700)
TRIES = 200
CLAIM = "jobtrack-test-port-"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that no other call gets while this process lives.

    Processes that run tests side by side choose at the same time; and a server that is down for a restart,
    or one that a test wants to be away, must not find another on its port.

    Raises:
        RuntimeError: None was found.
    """
    for port in random.sample(RANGE, min(TRIES, len(RANGE))):
        if _claim(port) and is_free(port):
            return port
    raise RuntimeError(f"no free port in {TRIES} tries between {RANGE.start} and {RANGE.stop}")


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Whether ``port`` is now this process's, which it stays until the process ends."""
    if sys.platform != "linux":  # has no names outside of the file system
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0{CLAIM}{port}")  # one machine-wide owner, and none when that is dead
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True
