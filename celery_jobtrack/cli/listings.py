"""``jobs`` and ``groups``: pages of what is recorded, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.names import Name
from celery_jobtrack.cli.times import Since, resolve_since
from celery_jobtrack.model.state import GroupState, JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from enum import Enum

    from celery_jobtrack.cli.surface import Surface


def _of_state(kind: type[Enum]) -> Callable[..., Any]:
    names = [str(each.value) for each in kind]
    return click.option(
        "--state",
        type=click.Choice(names, case_sensitive=False),
        metavar="STATE",
        help=f"Only those in this state: {', '.join(names)}.",
    )


def paged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--limit`` and ``--cursor``."""
    limit = click.option(
        "--limit",
        type=click.IntRange(1, 1000),
        default=50,
        show_default=True,
        metavar="N",
        help="How many at most.",
    )
    cursor = click.option(
        "--cursor", type=Name(), metavar="CURSOR", help="Go on where the page before ended."
    )
    return limit(cursor(function))


@click.command(cls=Command)
@_of_state(JobState)
@click.option("--task", type=Name(), metavar="NAME", help="Only jobs of the task with this name.")
@click.option("--queue", type=Name(), metavar="NAME", help="Only jobs sent to this queue.")
@click.option("--group", type=Name(), metavar="ID", help="Only members of this group, given by id or key.")
@click.option("--tag", type=Name(), metavar="TAG", help="Only jobs with this tag.")
@click.option("--since", type=Since(), help="Only jobs recorded since: 30m, 2h, 7d, or 2026-12-31T10:00.")
@paged
@pass_surface
def jobs(surface: Surface, group: str | None, since: timedelta | datetime | None, **filters: Any) -> None:
    """List jobs, newest first.

    \b
    Examples:
      celery -A shop jobtrack jobs --state FAILURE --since 2h
      celery -A shop jobtrack jobs --task shop.tasks.resize --limit 10 --json
    """  # noqa: D301
    now = surface.now()
    page = surface.jobtrack.inspect.jobs(
        group=None if group is None else surface.find_group(group),
        since=None if since is None else resolve_since(since, now=now, zone=surface.timezone),
        **filters,
    )

    def show() -> Any:
        from celery_jobtrack.cli.show_jobs import jobs_page

        filtered = group is not None or since is not None or _narrowed(filters)
        return jobs_page(page, now=now, filtered=filtered)

    surface.answer(page, show)


@click.command(cls=Command)
@_of_state(GroupState)
@paged
@pass_surface
def groups(surface: Surface, **filters: Any) -> None:
    """List groups, newest first.

    \b
    Example:
      celery -A shop jobtrack groups --state RUNNING
    """  # noqa: D301
    page = surface.jobtrack.groups.list(**filters)

    def show() -> Any:
        from celery_jobtrack.cli.show_groups import groups_page

        return groups_page(page, now=surface.now(), filtered=_narrowed(filters))

    from celery_jobtrack.cli.documents import group_document

    items = [group_document(each.record) for each in page.items]
    surface.answer({"items": items, "cursor": page.cursor}, show)


def _narrowed(filters: dict[str, Any]) -> bool:
    return any(value is not None for name, value in filters.items() if name != "limit")
