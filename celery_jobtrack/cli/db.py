"""``db``: the schema of a store: the tables of an SQL database, the layout of Redis keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.command import Command, pass_surface
from celery_jobtrack.errors import SchemaMismatch

if TYPE_CHECKING:
    from celery_jobtrack.cli.surface import Surface


@click.group()
def db() -> None:
    """See or upgrade the schema of a store.

    \b
    Examples:
      celery -A shop jobtrack db status
      celery -A shop jobtrack db upgrade
    """  # noqa: D301


@db.command(cls=Command)
@pass_surface
def status(surface: Surface) -> None:
    """Show which version the stored schema has and which one this code needs.

    Exit code 1 if this code cannot work with it.

    \b
    Example:
      celery -A shop jobtrack db status
    """  # noqa: D301
    store = surface.jobtrack.runtime.resolved().store
    versions = store.schema_versions()
    stored, needed = versions or (None, None)

    def show() -> Any:
        from celery_jobtrack.cli.facts import facts

        if versions is None:
            return facts([("store", store.url), ("schema", "none is needed")])
        found = f"version {stored}" if stored else "none yet; it is made at the first use"
        return facts([("store", store.url), ("schema", found), ("this code", f"version {needed}")])

    surface.answer({"store": store.url, "stored": stored, "needed": needed}, show)
    if stored is None or needed is None or stored in {0, needed}:
        return
    if stored > needed:
        _ = surface.jobtrack.store  # opens, and raises if it is too new
    else:
        raise SchemaMismatch("the schema is older than this code; run: celery -A … jobtrack db upgrade")


@db.command(cls=Command)
@pass_surface
def upgrade(surface: Surface) -> None:
    """Make the schema, or upgrade it to what this code needs.

    Run it before the new code starts; code one version older goes on working meanwhile.

    \b
    Example:
      celery -A shop jobtrack db upgrade
    """  # noqa: D301
    store = surface.jobtrack.runtime.resolved().store
    versions = store.upgrade()
    before, after = versions or (None, None)

    def show() -> Any:
        from rich.text import Text

        if versions is None:
            said = "there is no schema to upgrade"
        elif before == after:
            said = f"the schema has version {after} already"
        elif not before:
            said = f"schema made, version {after}"
        else:
            said = f"schema upgraded from version {before} to {after}"
        return Text(f"{store.url}: {said}")

    surface.answer({"store": store.url, "before": before, "after": after}, show)
