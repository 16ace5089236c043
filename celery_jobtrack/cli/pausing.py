"""``pause`` and ``resume``: let nothing of a queue or a task start for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.cli.surface import Surface


def _named(command: Callable[..., Any]) -> Callable[..., Any]:
    """A queue or a task, one of them."""
    queue = click.option("--queue", type=Name(), metavar="NAME", help="A queue, a level or an alias.")
    task = click.option("--task", type=Name(), metavar="NAME", help="A task.")
    return queue(task(command))


@click.command(cls=Command)
@_named
@click.option("--reason", type=Name(), metavar="TEXT", help="Why, for whoever asks.")
@pass_surface
def pause(surface: Surface, queue: str | None, task: str | None, reason: str | None) -> None:
    """Let nothing of a queue or of a task start.

    It holds in every worker, also in those that start later, until it is resumed. What runs goes on. Without
    an option it shows what is paused.

    \b
    Examples:
      celery -A shop jobtrack pause --queue low
      celery -A shop jobtrack pause --task shop.send --reason "the mail server is away"
      celery -A shop jobtrack pause
    """  # noqa: D301
    if queue is None and task is None and reason is None:
        _show(surface)
        return
    surface.load_tasks()
    is_new = surface.jobtrack.pause(queue=queue, task=task, reason=reason)
    what = _called(queue, task)
    _say(surface, f"{what} is paused." if is_new else f"{what} was paused already.", changed=is_new)


@click.command(cls=Command)
@_named
@pass_surface
def resume(surface: Surface, queue: str | None, task: str | None) -> None:
    """Let a paused queue or task go on.

    \b
    Example:
      celery -A shop jobtrack resume --queue low
    """  # noqa: D301
    # Jobs that wait are published here, as their tasks say.
    surface.load_tasks()
    was_paused = surface.jobtrack.resume(queue=queue, task=task)
    what = _called(queue, task)
    _say(surface, f"{what} goes on." if was_paused else f"{what} was not paused.", changed=was_paused)


def _show(surface: Surface) -> None:
    halts = surface.jobtrack.paused()

    def show() -> Any:
        from rich.text import Text

        from celery_jobtrack.cli.show_paused import paused_table

        return paused_table(halts, surface.now()) if halts else Text("Nothing is paused.", style="dim")

    surface.answer({"items": halts}, show)


def _say(surface: Surface, sentence: str, *, changed: bool) -> None:
    if surface.as_json:
        surface.answer({"changed": changed, "items": surface.jobtrack.paused()}, lambda: "")
    else:
        surface.say(sentence)


def _called(queue: str | None, task: str | None) -> str:
    return f"Task {task!r}" if queue is None else f"Queue {queue!r}"
