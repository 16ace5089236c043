"""``job``: one job with all of its attempts, looked at, cancelled or forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=Name())
@click.option("--traceback", is_flag=True, help="Show the traceback of every attempt that failed.")
@click.option("--cancel", is_flag=True, help="See that it does not run; a running job is told.")
@click.option("--terminate", is_flag=True, help="With --cancel: end a running job by force.")
@click.option("--forget", is_flag=True, help="Delete all that is known of it; it must have ended.")
@pass_surface
def job(
    surface: Surface, job_id: str, *, traceback: bool, cancel: bool, terminate: bool, forget: bool
) -> None:
    """Show everything that is known of one job, or cancel or forget it.

    \b
    Examples:
      celery -A shop jobtrack job 5f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11 --traceback
      celery -A shop jobtrack job 5f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11 --cancel
      celery -A shop jobtrack job 5f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11 --forget
    """  # noqa: D301
    if terminate and not cancel:
        raise click.UsageError("--terminate goes with --cancel")
    if forget and (cancel or traceback):
        raise click.UsageError("--forget stands alone")
    if forget:
        _forget(surface, job_id)
        return
    if cancel:
        _cancel(surface, job_id, terminate=terminate)
    if not cancel or traceback or surface.as_json:
        _describe(surface, job_id, traceback=traceback)


def _describe(surface: Surface, job_id: str, *, traceback: bool) -> None:
    details = surface.jobtrack.inspect.job(job_id)

    def show() -> Any:
        from celery_jobtrack.cli.show_job import job_details

        return job_details(details, now=surface.now(), traceback=traceback)

    surface.answer(details, show)


def _cancel(surface: Surface, job_id: str, *, terminate: bool) -> None:
    surface.load_tasks()
    with surface.reaching_the_broker():
        ended = surface.jobtrack.cancel(job_id, terminate=terminate)
    if ended:
        surface.say("The job is cancelled: it will not start.")
        return
    found = surface.jobtrack.inspect.job(job_id)
    if found.is_final:
        surface.say(f"The job had ended before ({found.state}); nothing was changed.")
    elif terminate:
        surface.say("The job is running: it was told, and its worker is asked to end it.")
    else:
        surface.say("The job is running: it was told, and ends when its body looks at self.cancelled.")


def _forget(surface: Surface, job_id: str) -> None:
    # A task may have a result backend of its own; and who is called next is published here, as its task says.
    surface.load_tasks()
    before = surface.jobtrack.inspect.job(job_id) if surface.as_json else None
    surface.jobtrack.forget(job_id)
    if surface.as_json:
        surface.answer(before, lambda: "")
    surface.say("The job is forgotten: nothing is known of it any more.")
