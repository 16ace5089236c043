"""The latest results as tables in Markdown, each with a sentence that says where it comes from."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from benchmarks.variants import BARE, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH = 100
SERVERS = {"redis": "Redis", "postgresql": "PostgreSQL", "rabbitmq": "RabbitMQ", "filesystem": "file system"}
CHORD_COLUMNS = (
    ("dispatch_s", "s", 2),
    ("dispatch_cpu_s", "s", 2),
    ("end_to_end_s", "s", 1),
    ("follow_ms", "ms", 0),
    ("grown_mb", "MB", 0),
)
"""Quantities with their units and decimals."""


def workers(document: Mapping[str, Any]) -> str:
    """What tracking costs a worker."""
    lines = ["| | worker CPU per job | jobs per second |", "|---|---|---|"]
    for name, figures in document["summary"].items():
        if name == BARE:
            cpu, rate = figures["worker_cpu"]["median"], figures["throughput"]["median"]
            lines.append(f"| bare Celery | {cpu:.0f} µs | {rate:.0f} |")
            continue
        about = VARIANTS[name].about if name in VARIANTS else name
        cpu, rate = _ratio(figures["worker_cpu_ratio"]), _ratio(figures["throughput_ratio"])
        lines.append(f"| {about} | {cpu} | {rate} |")
    settings = document["settings"]
    about = (
        f"Relative to bare Celery in the same round: median and quartiles of {settings['rounds']} rounds of "
        f"{settings['jobs']} jobs that do nothing, two pool children, Redis as broker"
    )
    return _table(lines, about, document)


def dispatch(documents: Sequence[Mapping[str, Any]]) -> str:
    """What sending many jobs takes."""
    lines = [
        "| broker | jobs | rounds | loop | `group` | `dispatch` | x as fast as `group` | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for document in documents:
        settings, ways = document["settings"], document["ways"]
        loop, group, many = (ways[name] for name in ("loop", "group", "dispatch"))
        took = " | ".join(
            f"{way['wall_us']['median']:.0f} ({way['cpu_us']['median']:.0f}) µs"
            for way in (loop, group, many)
        )
        times = many["times_group"]
        lines.append(
            f"| {SERVERS[settings['broker']]} | {settings['jobs']:,} | {settings['rounds']} | {took} "
            f"| {times['median']:.1f} ({times['low']:.1f} to {times['high']:.1f}) "
            f"| {group['grown_mb']['median']:.0f} and {many['grown_mb']['median']:.0f} MB |"
        )
    about = (
        "For each job that does nothing, in brackets CPU; Celery's loop and `group` untracked, `dispatch` "
        "tracked. Medians, the ratio with quartiles. Memory is what the sender grew by, with `group` and "
        f"with `dispatch`; {_load(*documents)}"
    )
    return _table(lines, about, documents[-1])


def chords(documents: Sequence[Mapping[str, Any]]) -> str:
    """What a job takes that follows many."""
    lines = [
        "| | members | rounds | the call | its CPU | what follows begins after | after the last | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for document in documents:
        settings = document["settings"]
        for way, figures in document["ways"].items():
            ratios = document["batch_to_chord"] if way == "batch" else {}
            cells = " | ".join(
                f"{figures[name]['median']:,.{digits}f} {unit}"
                + (f" (x {ratios[name]['median']:.2f})" if name in ratios else "")
                for name, unit, digits in CHORD_COLUMNS
            )
            lines.append(
                f"| {way}, {SERVERS[settings['store']]} | {settings['members']:,} "
                f"| {settings['rounds']} | {cells} |"
            )
    about = (
        "Members that do nothing, Redis as broker, a worker with two pool children that is at work while "
        "they are sent; the chord untracked. Medians, in brackets those of the ratios to the chord of the "
        f"same round. Memory is what the sender grew by; {_load(*documents)}"
    )
    return _table(lines, about, documents[-1])


def _load(*documents: Mapping[str, Any]) -> str:
    """What else the machine did: times are longer then, and ratios less sure."""
    loads = [document["machine"]["load_before"][0] for document in documents]
    return f"the machine's load was up to {max(loads):.0f} before"


def _table(lines: list[str], about: str, document: Mapping[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    where = (
        f"{about}, on one machine with {machine['cores']} cores; {document['date']}, "
        f"Celery {versions['celery']}, Python {versions['python']}."
    )
    return "\n".join([*lines, "", *textwrap.wrap(where, WIDTH)])


def _ratio(figure: Mapping[str, float]) -> str:
    return f"x {figure['median']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
