"""What one tick of the checker did, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

if TYPE_CHECKING:
    from celery_jobtrack.tracking.checker import Tick

_DID = (
    ("lost", "ended {} because the worker is gone", "job"),
    ("expired", "ended {} that had expired", "job"),
    ("cancelled", "ended {} of cancelled groups", "queued job"),
    ("republished", "published {} again that seemed lost", "message"),
    ("called", "saw to {} whose turn at a lock had come", "parked job"),
    ("groups", "counted {} anew that were due", "group"),
    ("repaired", "mended the counters of {}: that is a bug, please report it", "group"),
    ("pruned", "deleted {} that had been kept for long enough", "old row"),
)


def tick_lines(tick: Tick | None) -> Group:
    """A line for each thing that was done."""
    if tick is None:
        busy = (
            "Another process (a worker, beat or another check) is the checker at present, and does the same"
        )
        return Group(Text(f"{busy}; nothing was done here."))
    did = [
        said.format(f"{number:,} {noun}{'' if number == 1 else 's'}")
        for name, said, noun in _DID
        if (number := getattr(tick, name))
    ]
    if tick.delivery:
        did.append("events of groups wait: a worker is asked to deliver them")
    if not did:
        return Group(Text("Checked: nothing was to be done."))
    return Group(Text("Checked:"), *(Text(f"  {line}") for line in did))
