"""``group --watch``: follows a group until it has completed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from datetime import datetime

    from celery_jobtrack.cli.surface import Surface
    from celery_jobtrack.features.groups import JobGroup
    from celery_jobtrack.model.group import GroupStatus


class View(Protocol):
    """Where the numbers go, each time they are read."""

    def show(self, status: GroupStatus, now: datetime) -> None:
        """Show the numbers of this moment."""


def follow(surface: Surface, group: JobGroup, *, interval: float) -> None:
    """Show how a group goes on until its generation has completed.

    Args:
        surface: Where it is shown: a live bar on a terminal, else a line for every change.
        group: The group, as it was when it was found.
        interval: Seconds between two looks.
    """
    generation = group.record.generation
    with ExitStack() as stack:
        view = _view(surface, stack)
        while True:
            status = group.status()
            view.show(status, surface.now())
            if status.completed_at is not None or status.generation > generation:
                break
            time.sleep(interval)
    if status.generation > generation:
        surface.say(f"Generation {generation} has completed; generation {status.generation} has begun.")


def _view(surface: Surface, stack: ExitStack) -> View:
    if surface.as_json:
        return JsonLines()
    from celery_jobtrack.cli.show_watch import Lines, LiveBar

    if surface.console.is_terminal and not surface.console.is_dumb_terminal:
        return LiveBar(surface.console, stack)
    return Lines(surface.console)


class JsonLines:
    """One JSON object per line, for every change."""

    def __init__(self) -> None:
        self._changes = Changes()

    def show(self, status: GroupStatus, now: datetime) -> None:  # noqa: ARG002 - the same for every view
        """Print the numbers if they are new."""
        from celery_jobtrack.cli.documents import as_text, status_document

        if self._changes.is_new(status):
            click.echo(as_text(status_document(status)))


class Changes:
    """Tells whether a group's numbers are other than before; that the ETA moves is no change."""

    def __init__(self) -> None:
        self._last: GroupStatus | None = None

    def is_new(self, status: GroupStatus) -> bool:
        """Whether these numbers were not the last ones."""
        known, self._last = self._last, replace(status, eta=None, eta_low=None, eta_high=None)
        return known != self._last
