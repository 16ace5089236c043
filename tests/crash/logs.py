"""The log of the process that plays a round."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def logging_to(path: Path, own: logging.Logger) -> Iterator[None]:
    """What the dispatching side logs is an artefact like the logs of the others.

    Args:
        path: The file.
        own: The logger of who runs the round; that of the package is written, too.
    """
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s"))
    own.setLevel(logging.INFO)
    told = (logging.getLogger("celery_jobtrack"), own)
    for each in told:
        each.addHandler(handler)
    try:
        yield
    finally:
        for each in told:
            each.removeHandler(handler)
        handler.close()
