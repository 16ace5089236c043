"""The container engine of this machine, for ``--containers``.

With that switch Redis and RabbitMQ, where they are brokers, are pytest-celery's own containers, whose ports
the workers reach on localhost. Workers, stores and result backends stay local.

It was written against pytest-celery 1.3.0 and tried as far as a machine without an engine allows: that its
absence is reported. No run with an engine has been seen yet.
"""

from __future__ import annotations

import gc
import warnings

import docker
import pytest


def require() -> None:
    """Fails the test unless an engine answers: containers were asked for, so a skip would hide it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker leaves the socket open that was refused
        reason = _why_not()
        gc.collect()
    if reason:
        pytest.fail(f"--containers needs a container engine, and none answers: {reason}", pytrace=False)


def _why_not() -> str:
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        return str(error)
    client.close()  # to have been made it has asked the engine for its version
    return ""
