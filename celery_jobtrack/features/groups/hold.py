"""Holding a group open for as long as somebody adds to it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery_jobtrack.errors import JobTrackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.strategies.contract import Store

logger = logging.getLogger(__name__)

FILLING_LEASE = 30.0
"""Seconds for which a filler holds a group open without being heard of."""


@contextmanager
def renewed(store: Store, group_id: str, token: str) -> Iterator[None]:
    """Renew a hold that was taken for ``FILLING_LEASE`` seconds, until the block ends."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(FILLING_LEASE / 3):
            try:
                store.begin_filling(group_id, token, FILLING_LEASE)
            except JobTrackError as error:
                logger.warning("the hold on group %s is not renewed this time: %s", group_id, error)

    renewer = threading.Thread(target=renew, name="jobtrack-filling", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()
