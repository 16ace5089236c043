"""Throw-away servers: ``postgresql.start()``, and so for ``mariadb``, ``redis`` and ``rabbitmq``.

Each runs on a free port of 127.0.0.1 with a directory of its own, is ended by pid, and dies with the
test runner even when that is killed. They never touch a server on a standard port. Nothing here knows
anything of pytest: fixtures, skips and failures are the business of ``tests/conftest.py``.
"""

from tests.servers.errors import ServerFailedError, ServerMissingError
from tests.servers.server import Server

__all__ = ["Server", "ServerFailedError", "ServerMissingError"]
