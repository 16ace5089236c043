"""``readme``: writes the latest figures into README and documentation, so that none is copied by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import chords, dispatch, results, tables, workers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

PROJECT = Path(__file__).parents[1]
PAGES: dict[str, Callable[[], str]] = {
    "README.md": lambda: tables.workers(results.read(workers.NAME)),
    "docs/how-to/dispatch-many.md": lambda: tables.dispatch(dispatch.latest()),
    "docs/how-to/batches.md": lambda: tables.chords(chords.latest()),
}
BEGIN = "<!-- written by python -m benchmarks readme -->"
END = "<!-- end of what is written -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Replace what stands between the two markers of each page.

    Raises:
        FileNotFoundError: Something was not measured yet.
        ValueError: A page has no markers.
    """
    for name, render in PAGES.items():
        page = PROJECT / name
        before, _, after = parts(name)
        page.write_text(f"{before}{BEGIN}\n{render()}\n{END}{after}")


def parts(name: str) -> tuple[str, str, str]:
    """What stands on a page before, between and after the markers. Raises ValueError."""
    before, _, rest = (PROJECT / name).read_text().partition(BEGIN)
    written, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{name} has no lines {BEGIN!r} and {END!r} to write between")
    return before, written.strip("\n"), after
