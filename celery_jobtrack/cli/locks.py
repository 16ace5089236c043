"""``locks``: who has which key, who waits for it, and taking one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.cli.listings import paged
from celery_jobtrack.cli.names import Name

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@click.option("--key", type=Name(), metavar="KEY", help="Only this key: everybody who has it or waits.")
@click.option("--release", type=Name(), metavar="KEY", help="Take this key away from whoever has it.")
@paged
@pass_surface
def locks(surface: Surface, key: str | None, release: str | None, limit: int, cursor: str | None) -> None:
    """List locks: who has which, and who waits.

    They are the keys of without_overlapping and max_concurrent.

    A job whose key is taken away goes on, beside the next one. To free the key of a job that hangs, cancel
    the job instead.

    \b
    Examples:
      celery -A shop jobtrack locks
      celery -A shop jobtrack locks --release overlap:shop.report:2026-11
    """  # noqa: D301
    if release is not None:
        _release(surface, release)
    elif key is not None:
        _describe(surface, key)
    else:
        _list(surface, limit, cursor)


def _list(surface: Surface, limit: int, cursor: str | None) -> None:
    page = surface.jobtrack.locks.list(limit=limit, cursor=cursor)

    def show() -> Any:
        from celery_jobtrack.cli.show_locks import locks_page

        return locks_page(page, now=surface.now())

    surface.answer(page, show)


def _describe(surface: Surface, key: str) -> None:
    found = surface.jobtrack.locks.get(key)

    def show() -> Any:
        from celery_jobtrack.cli.show_locks import lock_details

        return lock_details(found, now=surface.now())

    surface.answer(found, show)


def _release(surface: Surface, key: str) -> None:
    # Who is called next is published here, as its task says.
    surface.load_tasks()
    with surface.reaching_the_broker():
        before = surface.jobtrack.locks.release(key)
    if surface.as_json:
        surface.answer(before, lambda: "")
    elif before.holders:
        jobs = ", ".join(place.job_id for place in before.holders)
        surface.say(f"The key was taken away from {jobs}.")
    else:
        surface.say("Nobody had the key; nothing was changed.")
