"""``job``: one job with all of its attempts."""

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
@pass_surface
def job(surface: Surface, job_id: str, *, traceback: bool) -> None:
    """Show everything that is known of one job.

    \b
    Example:
      celery -A shop jobtrack job 5f0c1a9e-8f6b-4c1e-9d57-2f1f0a7f6f11 --traceback
    """  # noqa: D301
    details = surface.jobtrack.inspect.job(job_id)

    def show() -> Any:
        from celery_jobtrack.cli.show_job import job_details

        return job_details(details, now=surface.now(), traceback=traceback)

    surface.answer(details, show)
