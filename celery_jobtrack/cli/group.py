"""``group``: one group, looked at, watched, cancelled or retried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name
from celery_jobtrack.model.state import GroupState

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface
    from celery_jobtrack.features.groups import JobGroup, Retried


@click.command(cls=Command)
@click.argument("group_id", metavar="ID", type=Name())
@click.option("--watch", is_flag=True, help="Follow it until it has completed; exit code 0 then.")
@click.option("--cancel", is_flag=True, help="Cancel what has not started; running jobs are told.")
@click.option("--terminate", is_flag=True, help="With --cancel: end running jobs by force.")
@click.option("--retry-failed", is_flag=True, help="Run those of its jobs again that did not succeed.")
@click.option("--error", metavar="NAME", help="With --retry-failed: only jobs that failed of this exception.")
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
    retry_failed: bool,
    error: str | None,
    members: bool,
    why: bool,
    interval: float,
) -> None:
    """Show, watch, cancel or retry one group, given by its id or key.

    With --watch --json there is one JSON object per line, one line per change.

    \b
    Examples:
      celery -A shop jobtrack group nightly --watch
      celery -A shop jobtrack group nightly --members
      celery -A shop jobtrack group nightly --why
      celery -A shop jobtrack group nightly --cancel
      celery -A shop jobtrack group nightly --retry-failed --watch
    """  # noqa: D301
    _check_together(
        {
            "--watch and --members do not go together": watch and members,
            "--terminate goes with --cancel": terminate and not cancel,
            "--cancel and --retry-failed do not go together": cancel and retry_failed,
            "--error goes with --retry-failed": error is not None and not retry_failed,
            "--why does not go together with what changes or follows the group": why
            and (watch or members or cancel or retry_failed),
        }
    )
    found = surface.find_group(group_id)
    if why:
        _explain(surface, found)
        return
    retried = None
    if cancel:
        _cancel(surface, found, terminate=terminate)
    if retry_failed:
        retried = _retry(surface, found, error)
    if watch:
        from celery_jobtrack.cli.watch import follow

        follow(surface, found, interval=interval)
    elif not (cancel or retry_failed) or surface.as_json:
        _describe(surface, found, members=members, retried=retried)


def _check_together(mistakes: dict[str, bool]) -> None:
    for mistake, is_made in mistakes.items():
        if is_made:
            raise click.UsageError(mistake)


def _describe(surface: Surface, found: JobGroup, *, members: bool, retried: Retried | None) -> None:
    from celery_jobtrack.cli.documents import group_document, status_document

    status = found.status()
    callbacks = found.callbacks()
    answer: dict[str, Any] = {"group": group_document(found.record), "status": status_document(status)}
    answer |= {"outcome": found.outcome, "callbacks": callbacks}
    if retried is not None:
        answer["retried"] = retried
    page = found.members() if members else None
    if page is not None:
        answer["members"] = page

    def show() -> Any:
        from celery_jobtrack.cli.show_group import group_details

        return group_details(found.record, status, callbacks, page, now=surface.now())

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
        how = "been cancelled" if before.state is GroupState.CANCELLED else "completed"
        surface.say(f"The group had {how} before; nothing was changed.")
        return
    status = found.status()
    ended = status.revoked - before.totals.revoked
    force = " and to be ended by force" if terminate else ""
    surface.say(
        f"The group is cancelled: {ended} queued {_jobs(ended)} ended, "
        f"{status.started} running {_jobs(status.started)} told{force}, {status.outstanding} outstanding."
    )


def _retry(surface: Surface, found: JobGroup, error: str | None) -> Retried:
    surface.load_tasks()
    with surface.reaching_the_broker():
        retried = found.retry_failed(exception=error)
    if retried.queued:
        surface.say(f"{retried.queued} {_jobs(retried.queued)} queued again.")
    else:
        surface.say("There is nothing to run again; nothing was changed.")
    if retried.not_kept:
        count = len(retried.not_kept)
        surface.say(f"{count} {_jobs(count)} cannot run again: their messages were not kept.")
    if retried.never_sent:
        count = len(retried.never_sent)
        surface.say(
            f"{count} {_jobs(count)} cannot run again: what comes before them in a chain or a chord did not "
            "succeed, so they were never sent. Send the canvas anew."
        )
    return retried


def _jobs(number: int) -> str:
    return "job" if number == 1 else "jobs"
