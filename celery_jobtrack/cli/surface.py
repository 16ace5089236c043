"""What a command works with: the app's ``JobTrack``, and where its answer goes."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.errors import ConfigurationError, JobTrackError, UnknownGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, tzinfo

    from rich.console import Console, RenderableType

    from celery_jobtrack.features.groups import JobGroup
    from celery_jobtrack.jobtrack import JobTrack


class Surface:
    """One command's view of the app.

    Args:
        context: Celery's ``CLIContext``, with the app and ``--no-color``.
        as_json: Whether the answer is for a program.
    """

    def __init__(self, context: Any, *, as_json: bool) -> None:
        self._context = context
        self.as_json = as_json

    @cached_property
    def jobtrack(self) -> JobTrack:
        """The app's ``JobTrack``, with its settings checked. Raises ConfigurationError."""
        from celery_jobtrack.jobtrack import JobTrack

        app = self._context.app
        try:
            app.conf.get("jobtrack_enabled")  # reads the configuration, wherever it is
        except Exception as error:
            raise ConfigurationError(
                f"the configuration of app {app.main!r} cannot be read: {type(error).__name__}: {error}"
            ) from error
        found = JobTrack.of(app)
        _ = found.settings
        return found

    @cached_property
    def console(self) -> Console:
        """Where people read the answer."""
        from celery_jobtrack.cli.screen import open_console

        return open_console(no_color=self._context.no_color)

    @property
    def timezone(self) -> tzinfo:
        """In which times without a zone are meant."""
        zone: tzinfo = self._context.app.timezone
        return zone

    def now(self) -> datetime:
        """The store's time."""
        return self.jobtrack.store.now()

    def load_tasks(self) -> None:
        """Import the app's tasks, for commands that end or publish jobs. Raises ConfigurationError."""
        try:
            self._context.app.loader.import_default_modules()
            self._context.app.finalize()
        except Exception as error:
            raise ConfigurationError(
                f"the tasks of app {self._context.app.main!r} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error

    @contextmanager
    def reaching_the_broker(self) -> Iterator[None]:
        """For what sends workers a message: that the broker takes none is said in one line."""
        from kombu.exceptions import OperationalError

        try:
            yield
        except OperationalError as error:
            raise JobTrackError(f"it is recorded, but the broker takes no message: {error}") from error

    def find_group(self, name: str) -> JobGroup:
        """The group with this id or, if there is none, with this key. Raises UnknownGroup."""
        try:
            return self.jobtrack.groups.get(name)
        except UnknownGroup:
            record = self.jobtrack.store.group_by_key(name)
            if record is not None:
                return self.jobtrack.groups.get(record.id)
        raise UnknownGroup(
            f"no group has the id or key {name!r} in namespace {self.jobtrack.settings.namespace!r}"
        )

    def answer(self, value: Any, show: Callable[[], RenderableType]) -> None:
        """Print an answer: ``value`` as JSON, or what ``show`` makes of it for people."""
        if self.as_json:
            from celery_jobtrack.cli.documents import as_text

            click.echo(as_text(value, indent=2))
        else:
            from celery_jobtrack.cli.screen import print_whole

            print_whole(self.console, show())

    def say(self, sentence: str) -> None:
        """Tell people something beside the answer; programs are not told."""
        if not self.as_json:
            from rich.text import Text

            from celery_jobtrack.cli.screen import print_whole

            print_whole(self.console, Text(sentence))

    def close(self) -> None:
        """Let go of the store, if it was opened."""
        if "jobtrack" in self.__dict__:
            self.jobtrack.close()
