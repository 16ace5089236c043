"""``group``: one group, looked at, watched or cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface
    from celery_jobtrack.features.groups import JobGroup


@click.command(cls=Command)
@click.argument("group_id", metavar="ID", type=Name())
@click.option("--watch", is_flag=True, help="Follow it until it has completed; exit code 0 then.")
@click.option("--cancel", is_flag=True, help="Cancel what has not started; running jobs are told.")
@click.option("--terminate", is_flag=True, help="With --cancel: end running jobs by force.")
@click.option("--members", is_flag=True, help="List its newest jobs too.")
@click.option("--why", is_flag=True, help="Say why it has not finished: what it waits for, job by job.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@pass_surface
def group(
    surface: Surface,
    group_id: str,
    *,
    watch: bool,
    cancel: bool,
    terminate: bool,
    members: bool,
    why: bool,
    interval: float,
) -> None:
    """Show, watch or cancel one group, given by its id or key.

    With --watch --json there is one JSON object per line, one line per change.

    \b
    Examples:
      celery -A shop jobtrack group nightly --watch
      celery -A shop jobtrack group nightly --members
      celery -A shop jobtrack group nightly --why
      celery -A shop jobtrack group nightly --cancel
    """  # noqa: D301
    if watch and members:
        raise click.UsageError("--watch and --members do not go together")
    if terminate and not cancel:
        raise click.UsageError("--terminate goes with --cancel")
    if why and (watch or members or cancel):
        raise click.UsageError("--why does not go together with --watch, --members or --cancel")
    found = surface.find_group(group_id)
    if why:
        _explain(surface, found)
        return
    if cancel:
        _cancel(surface, found, terminate=terminate)
    if watch:
        from celery_jobtrack.cli.watch import follow

        follow(surface, found, interval=interval)
    elif not cancel or surface.as_json:
        _describe(surface, found, members=members)


def _describe(surface: Surface, found: JobGroup, *, members: bool) -> None:
    from celery_jobtrack.cli.documents import status_document

    status = found.status()
    answer: dict[str, Any] = {"group": found.record, "status": status_document(status)}
    page = found.members() if members else None
    if page is not None:
        answer["members"] = page

    def show() -> Any:
        from celery_jobtrack.cli.show_group import group_details

        return group_details(found.record, status, page, now=surface.now())

    surface.answer(answer, show)


def _explain(surface: Surface, found: JobGroup) -> None:
    answer = surface.jobtrack.inspect.why(found)

    def show() -> Any:
        from celery_jobtrack.cli.show_why import explanation

        return explanation(answer)

    surface.answer(answer, show)


def _cancel(surface: Surface, found: JobGroup, *, terminate: bool) -> None:
    surface.load_tasks()
    before = found.record
    with surface.reaching_the_broker():
        found.cancel(terminate=terminate)
    if before.is_over or (before.state is found.record.state and not terminate):
        how = "completed" if before.is_over else "been cancelled"
        surface.say(f"The group had {how} before; nothing was changed.")
        return
    status = found.status()
    ended = status.revoked - before.totals.revoked
    force = " and to be ended by force" if terminate else ""
    surface.say(
        f"The group is cancelled: {ended} queued {_jobs(ended)} ended, "
        f"{status.started} running {_jobs(status.started)} told{force}, {status.outstanding} outstanding."
    )


def _jobs(number: int) -> str:
    return "job" if number == 1 else "jobs"
