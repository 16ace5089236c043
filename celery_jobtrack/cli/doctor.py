"""``doctor``: compares every record with every other one, and mends what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@click.option("--repair", is_flag=True, help="Mend what is wrong, with a line for each repair.")
@pass_surface
def doctor(surface: Surface, *, repair: bool) -> None:
    """Compare every record with every other one, and with the broker.

    It works beside whatever goes on, and takes its time where there is much. What looks wrong is looked
    at again before it is reported. The exit code is 0 when all is well or was mended, and 1 otherwise.

    \b
    Examples:
      celery -A shop jobtrack doctor
      celery -A shop jobtrack doctor --repair
    """  # noqa: D301
    surface.load_tasks()
    diagnosis = surface.jobtrack.doctor(repair=repair)

    def show() -> Any:
        from celery_jobtrack.cli.show_doctor import diagnosis_lines

        return diagnosis_lines(diagnosis, repair=repair)

    surface.answer({"well": diagnosis.is_well, "diagnosis": diagnosis}, show)
    if not diagnosis.is_well:
        raise click.exceptions.Exit(1)
