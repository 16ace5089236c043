"""What stands in for pytest-celery's containers: local servers, files, and a worker process.

A node of pytest-celery only asks its container for what is here. The servers are those of the session;
each test has a database or a virtual host of its own in them, so a node never ends a server.
"""

from __future__ import annotations

import os
import signal as signals
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import celery

from tests.integration.live import BOUND

if TYPE_CHECKING:
    from tests.integration.live import Shop
    from tests.servers import Server


@dataclass(frozen=True, kw_only=True)
class Files:
    """A broker or a result backend that is a folder: there is nothing to start."""

    url: str

    status: ClassVar[str] = "running"

    @property
    def celeryconfig(self) -> dict[str, Any]:
        return {"url": self.url, "host_url": self.url}

    @property
    def id(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return self.id

    def ready(self) -> bool:
        return True

    def logs(self) -> str:
        return ""

    def teardown(self) -> None:
        """Nothing: the folder is the test's."""


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """A broker or a result backend in a server of the session: one database of it."""

    server: Server
    url: str

    status: ClassVar[str] = "running"

    @property
    def celeryconfig(self) -> dict[str, Any]:
        vhost = self.url.rpartition("/")[2]
        return {"url": self.url, "host_url": self.url, "port": self.server.port, "vhost": vhost}

    @property
    def id(self) -> str:
        return f"{self.server.name}-{self.server.port}"

    @property
    def name(self) -> str:
        return self.id

    def ready(self) -> bool:
        return self.server.is_ready()

    def logs(self) -> str:
        return self.server.log.read_text(errors="replace")

    def teardown(self) -> None:
        """Nothing: the server is the session's."""


class LocalWorker:
    """A worker process of a shop, started at once.

    Args:
        shop: Whose app it serves.
        options: What its command line has beside the usual.
    """

    celeryconfig: ClassVar[dict[str, Any]] = {}  # nobody connects to a worker

    def __init__(self, shop: Shop, *options: str) -> None:
        self._shop = shop
        self._options = options
        self.process = shop.start_worker(*options)

    @property
    def id(self) -> str:
        return f"{self.worker_name()}-{self.process.pid}"

    @property
    def name(self) -> str:
        return self.id

    @property
    def status(self) -> str:
        return "running" if self.process.is_running() else "exited"

    def ready(self) -> bool:
        self.process.await_ready()
        return True

    def logs(self) -> str:
        return self.process.log.read_text(errors="replace")

    def kill(self, signal: str = "SIGKILL") -> None:
        """Sends a signal to the main process; SIGKILL ends its children as well, as in a container."""
        if signal == "SIGKILL":
            self.process.kill_whole()
        else:
            os.kill(self.process.pid, getattr(signals, signal))

    def reload(self) -> None:
        """Nothing: the kernel is asked each time."""

    def restart(self, timeout: float = BOUND) -> None:
        self.process.stop(timeout)
        self.process = self._shop.start_worker(*self._options)
        self.ready()

    def teardown(self) -> None:
        self.process.stop()

    def version(self) -> str:
        return str(celery.__version__)  # it runs in the environment of the tests

    def log_level(self) -> str:
        return "INFO"

    def worker_name(self) -> str:
        return "w"

    def worker_queue(self) -> str:
        return "celery"
