"""Fails the build when a reference page and the code disagree about what there is.

Each check reads one page as text and asks the code what must stand there: the settings with their
defaults, the commands with their options, the errors, the events and the public names.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Check before anything is read, so that the first lines of the output say what is missing."""
    app.connect("builder-inited", check)
    return {"version": "1", "parallel_read_safe": True}


def check(app: Sphinx) -> None:
    """Warn of whatever is missing or too much; ``--fail-on-warning`` makes that an error."""
    reference = Path(app.srcdir) / "reference"
    for page, findings in (
        ("settings.md", check_settings),
        ("command-line.md", check_commands),
        ("errors.md", check_errors),
        ("events.md", check_events),
        ("api.md", check_names),
    ):
        for finding in findings((reference / page).read_text(encoding="utf-8")):
            logger.warning("%s: %s", page, finding, type="undocumented", location=f"reference/{page[:-3]}")


def check_settings(page: str) -> Iterator[str]:
    """Rows are ``| `jobtrack_name` | `default` | … |``; names, defaults and their number must fit."""
    from celery_jobtrack.config import PREFIX, Settings
    from celery_jobtrack.model.retention import DEFAULT

    rows = dict(re.findall(r"^\| `(jobtrack_\w+)` \| (.+?) \|", page, flags=re.MULTILINE))
    known = {PREFIX + setting.name: setting.default for setting in fields(Settings)}
    # The retention is set as a mapping and kept as what this comes to.
    known[f"{PREFIX}retention"] = dict(DEFAULT)
    yield from (f"the setting {name} is not documented" for name in known.keys() - rows.keys())
    yield from (f"there is no setting {name}" for name in rows.keys() - known.keys())
    for name in known.keys() & rows.keys():
        default = known[name]
        shown = (
            ", ".join(f"`{part}`" for part in default)
            if default and isinstance(default, tuple)
            else f"`{default!r}`"
        )
        if rows[name] != shown:
            yield f"the default of {name} is {shown}, not {rows[name]}"


def check_commands(page: str) -> Iterator[str]:
    """Every command has a heading of its own, and every option of it stands below that heading."""
    import click

    from celery_jobtrack.cli import jobtrack

    def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from walk(command, f"{path}{name} ")
            else:
                yield f"{path}{name}", command

    found = {
        re.split(r" [A-Z\[]", heading)[0]: body  # without its arguments
        for heading, body in re.findall(
            r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL
        )
    }
    known = dict(walk(jobtrack, ""))
    yield from (f"the command {name!r} is not documented" for name in known.keys() - found.keys())
    yield from (f"there is no command {name!r}" for name in found.keys() - known.keys())
    for name in known.keys() & found.keys():
        options = {opt for param in known[name].params for opt in param.opts if opt.startswith("--")}
        shown = set(re.findall(r"`(--[a-z-]+)", found[name]))
        # They are said once, above all commands.
        yield from (f"{name} {option} is not documented" for option in options - shown - {"--json"})
        yield from (f"{name} has no option {option}" for option in shown - options)


def check_errors(page: str) -> Iterator[str]:
    """Every error of the tree is explained."""
    from celery_jobtrack import errors

    for name, value in vars(errors).items():
        ours = isinstance(value, type) and issubclass(value, errors.JobTrackError)
        if ours and f"`{name}`" not in page:
            yield f"the error {name} is not documented"


def check_events(page: str) -> Iterator[str]:
    """Every signal is explained."""
    from blinker import Signal

    from celery_jobtrack import events

    for name, value in vars(events).items():
        if isinstance(value, Signal) and f"`{name}`" not in page:
            yield f"the event {name} is not documented"


def check_names(page: str) -> Iterator[str]:
    """Every public name of the package is there for autodoc."""
    import celery_jobtrack

    for name in celery_jobtrack.__all__:
        if not re.search(rf"^\.\. autoclass:: celery_jobtrack\.{name}$", page, flags=re.MULTILINE):
            yield f"celery_jobtrack.{name} is not documented"
