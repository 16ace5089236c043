"""Where the facts of a store that is away are kept on this machine."""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_jobtrack.config import Settings


def spool_folder(settings: Settings, store_url: str) -> Path:
    """The folder of one store and namespace, under ``jobtrack_spool_dir`` or the user's state folder.

    Args:
        settings: The app's settings.
        store_url: Names the store, without a password.
    """
    if store_url == "memory://":
        # It ends with its process, and so does what belongs into it.
        store_url += uuid.uuid4().hex
    named = hashlib.sha256(store_url.encode()).hexdigest()[:12]
    return _root(settings) / f"{settings.namespace}-{named}"


def _root(settings: Settings) -> Path:
    if settings.spool_dir is not None:
        return Path(settings.spool_dir)
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path(os.path.expanduser("~")) / ".local" / "state"  # noqa: PTH111
    # A service user's home is often not there, or not its own.
    if os.access(next(path for path in (home, *home.parents) if path.exists()), os.W_OK):
        return home / "celery-jobtrack"
    return Path(tempfile.gettempdir()) / f"celery-jobtrack-{os.getuid()}"
