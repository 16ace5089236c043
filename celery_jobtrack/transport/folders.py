"""Where a file-system broker keeps its things, and how a queue's name becomes a folder's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_FOLDER = (
    "The file-system broker was not told where to keep its messages. Name a folder that every process of "
    "the app shares: broker_url='filesystem:///jobs' (./jobs), broker_url='filesystem:////var/lib/jobs', "
    "or broker_transport_options={'folder': '/var/lib/jobs'}."
)

# Lower case only: on a file system that ignores case, "High" and "high" would be one folder.
_PLAIN_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of one broker, absolute, so that a later `chdir` does not move them."""

    incoming: Path
    outgoing: Path
    control: Path
    processed: Path | None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], url_path: str | None) -> Folders:
        """Read the transport options; the path of the broker URL stands in for a missing `folder`.

        Args:
            options: `broker_transport_options`.
            url_path: The path of the broker URL without its first slash, as SQLAlchemy counts for
                SQLite: three slashes are relative, four are absolute. "/" and None mean no path.

        Raises:
            ValueError: Neither a folder nor both data folders are given.
        """
        folder = options.get("folder") or (url_path if url_path not in {None, "", "/"} else None)
        root = _absolute(folder) if folder else None
        incoming, outgoing = options.get("data_folder_in"), options.get("data_folder_out")
        if root is None and not (incoming and outgoing):
            raise ValueError(NO_FOLDER)
        root = root or Path.cwd()
        processed = _absolute(options.get("processed_folder") or root / "processed")
        return cls(
            incoming=_absolute(incoming or root / "messages"),
            outgoing=_absolute(outgoing or root / "messages"),
            control=_absolute(options.get("control_folder") or root / "control"),
            processed=processed if options.get("store_processed") else None,
        )


@lru_cache(maxsize=4096)
def safe_name(name: str) -> str:
    """Return a file name for a queue or an exchange: two names never share one, none leaves its folder.

    Ordinary names stay as they are. Any other is made readable and told apart by its hash, which also
    bounds its length; "~" occurs in no ordinary name.
    """
    if _PLAIN_NAME.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9_-]", "_", name[:40].lower())
    return f"{readable}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _absolute(folder: str | Path) -> Path:
    return Path(folder).expanduser().absolute()
