"""What really happened, written by those to whom it happened: one line in one write, whoever dies next.

The store is what is tested, so nothing is counted from it alone.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

BODIES = "bodies.jsonl"
LISTENERS = "listeners.jsonl"


def write(path: Path, **facts: Any) -> None:
    """Append one line. A single ``O_APPEND`` write is whole and in order, also with many writers."""
    line = json.dumps({**facts, "pid": os.getpid(), "at": time.time()}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """All lines so far, in the order of writing."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def count_begun(folder: Path) -> int:
    """How many bodies have begun."""
    path = folder / BODIES
    return path.read_bytes().count(b'"begin"') if path.exists() else 0


def open_deliveries(folder: Path) -> list[dict[str, Any]]:
    """Calls of listeners that have begun and not ended: which event, in which process."""
    calls: dict[tuple[str, int], dict[str, Any]] = {}
    for line in read(folder / LISTENERS):
        call = (line["event"], line["pid"])
        if line["phase"] == "begin":
            calls[call] = line
        else:
            calls.pop(call, None)
    return list(calls.values())
