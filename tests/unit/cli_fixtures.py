"""An app on a memory store whose time stands still, and Celery's own command run on it."""

from __future__ import annotations

import json
from inspect import signature
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.bin.celery import celery
from click.testing import CliRunner
from kombu import Connection

from celery_jobtrack import JobTrack
from celery_jobtrack.strategies.memory import MemoryStore

if TYPE_CHECKING:
    import pytest
    from click.testing import Result

ENVIRONMENT = ("APP", "CELERY_APP", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "TTY_COMPATIBLE")
LONG_ID = "5f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11"


class Shop:
    """``run`` gives what the shell would see of ``celery -A shop jobtrack …``."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.store: Any = MemoryStore(clock=lambda: self.time)
        self.app = Celery("shop", set_as_current=False, broker="memory://")
        self.app.conf.jobtrack_strategy = self.store
        self.jobtrack = JobTrack(self.app)
        # The memory broker is one for the whole process: what other tests have left there is not this shop's.
        with Connection("memory://") as connection:
            connection.default_channel.queue_purge("celery")

    def run(self, *arguments: str, columns: int | None = None) -> Result:
        environment = {} if columns is None else {"COLUMNS": str(columns)}
        return _runner().invoke(
            celery, ["jobtrack", *arguments], default_map={"app": self.app}, env=environment
        )

    def lines(self, *arguments: str, columns: int | None = None) -> list[str]:
        return self._succeeding(*arguments, columns=columns).splitlines()

    def json(self, *arguments: str) -> Any:
        return json.loads(self._succeeding(*arguments, "--json"))

    def error(self, *arguments: str, code: int) -> str:
        """The one line on stderr of a command that fails with this exit code."""
        result = self.run(*arguments)
        assert result.exit_code == code, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")

    def _succeeding(self, *arguments: str, columns: int | None = None) -> str:
        result = self.run(*arguments, columns=columns)
        assert result.exit_code == 0, result.output
        return result.stdout


def _runner() -> CliRunner:
    # Before click 8.2 stderr is told apart only on demand.
    apart = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    return CliRunner(**apart)


def new_shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop that nothing in the environment of the tests can colour or widen."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return Shop()


def has_facts(lines: list[str], **facts: str) -> bool:
    """Whether the list of details says these things under these names."""
    found = dict(line.split("  ", 1) for line in lines if "  " in line)
    said = {name.strip(): value.strip() for name, value in found.items()}
    assert {name: said.get(name) for name in facts} == facts
    return True
