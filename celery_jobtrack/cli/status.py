"""``status``: the whole at one glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.model.state import GroupState, JobState

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.command(cls=Command)
@pass_surface
def status(surface: Surface) -> None:
    """Show the store, its counts by state, and the live workers.

    \b
    Example:
      celery -A shop jobtrack status
    """  # noqa: D301
    jobtrack = surface.jobtrack
    store, inspect = jobtrack.store, jobtrack.inspect
    versions = store.schema_versions()
    found = {
        "store": store.url,
        "schema_version": None if versions is None else versions[0],
        "namespace": jobtrack.settings.namespace,
        "now": store.now(),
        "jobs": _counted(JobState, inspect.counts()),
        "groups": _counted(GroupState, inspect.group_counts()),
        "events": inspect.event_counts(),
        "workers": inspect.workers(),
        "paused": jobtrack.paused(),
    }

    def show() -> Any:
        from celery_jobtrack.cli.show_status import overview

        return overview(found)

    surface.answer(found, show)


def _counted(states: Any, counts: Any) -> dict[Any, int]:
    return {state: counts.get(state, 0) for state in states}
