"""``run`` and ``dispatch``: jobs sent by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.cli.surface import Surface


class Json(click.ParamType):  # type: ignore[type-arg] # click before 8.3 takes no argument
    """A JSON document."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the text says."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)


def _sent(function: Callable[..., Any]) -> Callable[..., Any]:
    delay = click.option(
        "--delay", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Run it after so long."
    )
    priority = click.option(
        "--priority", type=click.IntRange(0, 9), metavar="N", help="0 to 9; 9 goes first."
    )
    queue = click.option("--queue", type=Name(), metavar="NAME", help="Send it to this queue.")
    return delay(priority(queue(function)))


@click.command(cls=Command)
@click.argument("function", metavar="MODULE:FUNCTION", type=Name())
@click.argument("arguments", type=Json(), default="[]", metavar="[JSON]")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Run it again so often if it raises, after 1, 2, 4, … seconds.",
)
@_sent
@pass_surface
def run(
    surface: Surface,
    function: str,
    arguments: Any,
    *,
    retries: int,
    delay: float,
    priority: int | None,
    queue: str | None,
) -> None:
    """Have a worker run an approved function.

    jobtrack_approved_callables says which are. Its arguments are a JSON list, or a mapping of named ones.

    \b
    Examples:
      celery -A shop jobtrack run shop.services:Mailer.send '["a@example.com"]' --retries 3
      celery -A shop jobtrack run shop.reports:make '{"month": "2026-11"}' --delay 60
    """  # noqa: D301
    surface.load_tasks()
    with surface.reaching_the_broker():
        sent = surface.jobtrack.run_background(
            function, arguments, priority=priority, delay=delay, retries=retries, queue=queue
        )
    _tell(surface, sent.id)


@click.command(cls=Command)
@click.argument("name", type=Name())
@click.argument("payload", type=Json(), default="{}", metavar="[JSON]")
@_sent
@pass_surface
def dispatch(
    surface: Surface, name: str, payload: Any, *, delay: float, priority: int | None, queue: str | None
) -> None:
    """Send a class-style job by its name.

    Its payload is a JSON mapping.

    \b
    Example:
      celery -A shop jobtrack dispatch send-email '{"to": "a@example.com"}'
    """  # noqa: D301
    surface.load_tasks()
    pending = surface.jobtrack.jobs.pending(name, payload)
    if delay:
        pending = pending.delay_for(delay)
    if priority is not None:
        pending = pending.with_priority(priority)
    if queue is not None:
        pending = pending.on_queue(queue)
    with surface.reaching_the_broker():
        sent = pending.dispatch()
    _tell(surface, sent.id)


def _tell(surface: Surface, job_id: str) -> None:
    if surface.as_json:
        surface.answer({"id": job_id}, lambda: "")
    else:
        surface.say(job_id)
