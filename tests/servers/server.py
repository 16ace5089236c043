"""What all throw-away servers share: their life from the first start to the removal."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from tests.servers.directory import Directory
from tests.servers.errors import ServerFailedError
from tests.servers.ports import free_port, is_free
from tests.servers.process import ServerProcess, unprivileged_user
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

READY_SECONDS = 60
PORT_TRIES = 5
DEADLY = frozenset({signal.SIGKILL, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV})


class Server(ABC):
    """A server of our own on 127.0.0.1.

    Subclasses name the programs and say when the server is ready; the life cycle is here. The port is
    the same from the first start to ``stop()``. Data outlives ``kill()``, ``halt()`` and ``restart()``:
    every server writes a commit to the operating system before it answers, only not to the disk.
    """

    name: ClassVar[str]
    account: ClassVar[str]
    ending: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        self.find_programs()
        self.user = unprivileged_user(self.account)
        self._directory = Directory(self.name, self.user)
        self._databases = 0
        self._process: ServerProcess | None = None
        try:
            self.prepare()
            self._launch_on_free_port()
        except BaseException:
            self.stop()
            raise

    @property
    def directory(self) -> Path:
        return self._directory.path

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The pid of the main process, also of one that has ended."""
        assert self._process is not None
        return self._process.pid

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @abstractmethod
    def new_database(self) -> str:
        """The URL of a fresh, empty database."""

    @abstractmethod
    def find_programs(self) -> None:
        """Looks for what it needs, or raises ``ServerMissingError``."""

    @abstractmethod
    def prepare(self) -> None:
        """Fills the fresh directory, where the server does not do so itself."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program that serves ``self.port``, in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether *this* server answers: another one may have taken the port before it."""

    def environment(self) -> Mapping[str, str]:
        """What its programs read from their environment, where files and arguments do not do."""
        return {}

    def kill(self, signum: signal.Signals = signal.SIGKILL) -> None:
        """Sends ``signum`` to the main process; a deadly one is waited for. ``restart()`` brings it back."""
        assert self._process is not None
        if signum in DEADLY:
            self._process.end(signum)
        else:
            self._process.signal(signum)

    def pause(self) -> None:
        """Freezes it, so that clients hang instead of being refused. ``resume()`` ends that."""
        assert self._process is not None
        self._process.signal(signal.SIGSTOP, whole_tree=True)

    def resume(self) -> None:
        assert self._process is not None
        self._process.signal(signal.SIGCONT, whole_tree=True)

    def halt(self) -> None:
        """Ends it in order and keeps its data and its port. ``restart()`` brings it back."""
        if self._process is not None:
            self._process.end(*self.ending)

    def restart(self) -> None:
        """Brings it back on the same port with its data, whether it runs or not."""
        self.halt()
        self._launch()

    def stop(self) -> None:
        """Ends it for good and removes its directory. A second call does nothing."""
        if not self.directory.exists():
            return
        self.halt()
        self._directory.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def run(self, *command: str) -> None:
        """Runs a program that prepares the directory, to its end."""
        self._spawn(list(command)).complete()

    def _launch_on_free_port(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            self.port = free_port()
            try:
                return self._launch()
            except ServerFailedError:
                if tries_left == 0 or is_free(self.port):  # else somebody was quicker: take another
                    raise
        return None

    def _launch(self) -> None:
        self._process = self._spawn(self.command())
        try:
            wait_until(self._is_up, READY_SECONDS, "it answers")
        except AssertionError as error:
            self._process.end()
            raise ServerFailedError(f"{self.name} on port {self.port}: {error}", self.log) from None

    def _is_up(self) -> bool:
        assert self._process is not None
        status = self._process.exit_status()
        if status is not None:
            raise ServerFailedError(f"{self.name} on port {self.port} ended with status {status}", self.log)
        return self.is_ready()

    def _spawn(self, command: list[str]) -> ServerProcess:
        return ServerProcess(
            command,
            directory=self.directory,
            log=self.log,
            user=self.user,
            environment=self.environment(),
            death_signal=self.death_signal,
        )
