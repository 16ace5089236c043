"""Holding a group open for as long as somebody adds to it."""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, JobTrackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.strategies.contract import Store

logger = logging.getLogger(__name__)

FILLING_LEASE = 30.0
"""Seconds for which a filler holds a group open without being heard of."""


@contextmanager
def held_open(
    runtime: Runtime, group_id: str, *, after: Callable[[GroupRecord], None] | None = None
) -> Iterator[None]:
    """Hold a group's completion open while the block runs; the hold ends by itself if the process dies.

    Args:
        runtime: Whose group it is.
        group_id: The group's id.
        after: Is given the group as it is when the hold has begun, and when it has ended.

    Raises:
        UnknownGroup, GroupCompleted, GroupCancelled: It takes no members.
    """
    token, store = uuid.uuid4().hex, runtime.store
    begun = store.begin_filling(group_id, token, FILLING_LEASE)
    if after is not None:
        after(begun.group)
    try:
        with _renewed(store, group_id, token):
            yield
    finally:
        changed = runtime.tracker.change_group(store.end_filling(group_id, token))
        if after is not None:
            after(changed.group)


@contextmanager
def _renewed(store: Store, group_id: str, token: str) -> Iterator[None]:
    """Renew a hold that was taken for ``FILLING_LEASE`` seconds, until the block ends."""
    done = threading.Event()

    def renew() -> None:
        is_told = False
        while not done.wait(FILLING_LEASE / 3):
            try:
                store.begin_filling(group_id, token, FILLING_LEASE)
            except (GroupCancelled, GroupCompleted) as error:
                # Nothing is wrong: who fills it learns so with the next member.
                if not is_told:
                    logger.info("group %s is no longer held open: %s", group_id, error)
                is_told = True
            except JobTrackError as error:
                logger.warning("the hold on group %s is not renewed this time: %s", group_id, error)

    renewer = threading.Thread(target=renew, name="jobtrack-filling", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()
