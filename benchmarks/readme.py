"""``readme``: writes the latest figures into the project's README, so that none is copied by hand."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import results, workers
from benchmarks.variants import BARE, VARIANTS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- written by python -m benchmarks readme -->"
WIDTH = 100
END = "<!-- end of what is written -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    """Replace what stands between the two markers.

    Raises:
        FileNotFoundError: Nothing was measured yet.
        ValueError: The README has no markers.
    """
    before, _, rest = README.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"README.md has no lines {BEGIN!r} and {END!r} to write between")
    README.write_text(f"{before}{BEGIN}\n{render(results.read(workers.NAME))}\n{END}{after}")


def render(document: Mapping[str, Any]) -> str:
    """The table in Markdown, with a sentence that says where it comes from."""
    lines = ["| | worker CPU per job | jobs per second |", "|---|---|---|"]
    for name, figures in document["summary"].items():
        if name == BARE:
            cpu, rate = figures["worker_cpu"]["median"], figures["throughput"]["median"]
            lines.append(f"| bare Celery | {cpu:.0f} µs | {rate:.0f} |")
            continue
        about = VARIANTS[name].about if name in VARIANTS else name
        lines.append(
            f"| {about} | {_ratio(figures['worker_cpu_ratio'])} | {_ratio(figures['throughput_ratio'])} |"
        )
    settings, machine, versions = document["settings"], document["machine"], document["versions"]
    where = (
        f"Relative to bare Celery in the same round: median and quartiles of {settings['rounds']} rounds of "
        f"{settings['jobs']} jobs that do nothing, two pool children, Redis as broker, on one machine with "
        f"{machine['cores']} cores; {document['date']}, Celery {versions['celery']}, "
        f"Python {versions['python']}."
    )
    lines += ["", *textwrap.wrap(where, WIDTH)]
    return "\n".join(lines)


def _ratio(figure: Mapping[str, float]) -> str:
    return f"x {figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
