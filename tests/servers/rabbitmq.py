"""A throw-away RabbitMQ, with a port mapper of its own."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import amqp

from tests.servers.errors import ServerFailedError
from tests.servers.ports import HOST, free_port
from tests.servers.programs import find
from tests.servers.server import Server
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.servers.process import ServerProcess

PACKAGE = "rabbitmq-server"
NODE = "jobtrack@localhost"  # nobody else's: its port mapper knows no other node
USER = "guest"
MAPPER_SECONDS = 10


class RabbitMQ(Server):
    """RabbitMQ with its ``guest``. A database is a virtual host; ``url`` is that of ``/``.

    What was confirmed to a publisher outlives ``kill()``: publish with ``confirm_publish``, persistent
    messages to durable queues.
    """

    name = "rabbitmq"
    account = "rabbitmq"
    mapper: ServerProcess | None = None  # epmd, which would otherwise be started and outlive us

    @property
    def url(self) -> str:
        return self._url("/")

    def new_database(self) -> str:
        """The URL of a fresh virtual host; about a second."""
        self._databases += 1
        vhost = f"test_{self._databases}"
        self.run(self._control, "--quiet", "add_vhost", vhost)
        self.run(self._control, "--quiet", "set_permissions", "--vhost", vhost, USER, ".*", ".*", ".*")
        return self._url(vhost)

    def find_programs(self) -> None:
        # Those on PATH may be wrappers that insist on the system's own server and its user.
        home = Path(find(self.name, "rabbitmq-defaults", package=PACKAGE)).parent
        self._server, self._control = str(home / "rabbitmq-server"), str(home / "rabbitmqctl")
        self._epmd = find(self.name, "epmd", package=PACKAGE)

    def prepare(self) -> None:
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self.mapper = self._spawn([self._epmd, "-port", str(self._mapper_port), "-address", HOST])
        wait_until(self._is_mapped, MAPPER_SECONDS, "the port mapper answers")

    def environment(self) -> dict[str, str]:
        directory = self.directory
        return {
            "RUNNING_UNDER_SYSTEMD": "1",  # become the server, instead of a shell that starts it
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_DIST_PORT": str(
                self._distribution_port
            ),  # by default it lies among the ephemeral ports
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "none"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
        }

    def command(self) -> list[str]:
        settings = (
            f"listeners.tcp.1 = {HOST}:{self.port}",
            f"distribution.listener.interface = {HOST}",
            f"cluster_name = {self.directory.name}",
            "vm_memory_high_watermark.absolute = 512MB",
        )
        (self.directory / "rabbitmq.conf").write_text("\n".join([*settings, ""]))
        return [self._server]

    def is_ready(self) -> bool:
        waiting = {"connect_timeout": 5, "read_timeout": 5}
        try:
            with amqp.Connection(f"{HOST}:{self.port}", USER, USER, **waiting) as connection:
                return connection.server_properties.get("cluster_name") == self.directory.name
        except (OSError, amqp.exceptions.AMQPError):  # also while it recovers its queues
            return False

    def stop(self) -> None:
        if self.mapper is not None and self.mapper.exit_status() is None:
            self.halt()
            self.mapper.end()
        super().stop()

    def _is_mapped(self) -> bool:
        assert self.mapper is not None
        if self.mapper.exit_status() is not None:
            raise ServerFailedError(f"the port mapper on port {self._mapper_port} ended", self.log)
        with suppress(OSError), socket.create_connection((HOST, self._mapper_port), timeout=5):
            return True
        return False

    def _url(self, vhost: str) -> str:
        return f"amqp://{USER}:{USER}@{HOST}:{self.port}/{vhost}"


def start() -> RabbitMQ:
    """A running RabbitMQ; about five seconds, and 150 MB.

    Raises:
        ServerMissingError: It is not installed.
        ServerFailedError: It did not start; the end of its log says why.
    """
    return RabbitMQ()
