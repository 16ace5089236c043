"""The results that are kept: one JSON for each command, the latest of each."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER = Path(__file__).with_name("results")


def document(
    settings: Mapping[str, Any], found: Mapping[str, Any], *, servers: Iterable[str], load: Sequence[float]
) -> dict[str, Any]:
    """A result with all that is needed to judge it.

    Args:
        settings: How it was measured.
        found: What was.
        servers: The server programs that took part.
        load: How busy the machine was before: what it did beside.
    """
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "settings": dict(settings),
        "machine": {**machine.facts(), "load_before": list(load), "load_after": machine.load()},
        "versions": machine.versions(servers),
        **found,
    }


def write(name: str, document: Mapping[str, Any]) -> Path:
    """Keep a document as the latest of its name."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """The latest document of this name. Raises FileNotFoundError."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def read_all(name: str) -> list[dict[str, Any]]:
    """The latest documents of all names that begin with this one and a dash, in no order."""
    return [read(path.stem) for path in FOLDER.glob(f"{name}-*.json")]
