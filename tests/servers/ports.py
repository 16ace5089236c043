"""Ports that are free and likely to stay so."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
# Under the kernel's ephemeral range: while a server is down for a restart, no outgoing connection of
# anyone can be given its port. No well-known server has its standard port here.
RANGE = range(28100, 32700)
TRIES = 200


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment.

    Raises:
        RuntimeError: None was found.
    """
    for port in random.sample(RANGE, TRIES):
        if is_free(port):
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
