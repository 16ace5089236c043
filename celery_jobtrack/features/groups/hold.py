"""Holding a group open for as long as somebody adds to it."""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery_jobtrack.errors import GroupCancelled, GroupCompleted, JobTrackError
from celery_jobtrack.model.pledge import LASTING, Pledge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.strategies.contract import Store

logger = logging.getLogger(__name__)

FILLING_LEASE = 30.0
"""Seconds for which a filler holds a group open without being heard of."""

_OF_KEYS = uuid.UUID("0f0f8d43-1a2c-4b0a-9a55-6f3c7d0f2a71")
"""Where the tokens are made of keys."""


@contextmanager
def held_open(runtime: Runtime, group_id: str) -> Iterator[None]:
    """Hold a group's completion open while the block runs; the hold ends by itself if the process dies.

    Raises:
        UnknownGroup, GroupCompleted, GroupCancelled: It takes no members.
    """
    token = uuid.uuid4().hex
    with _held(runtime, group_id, token), _renewed(runtime.store, group_id, {token: FILLING_LEASE}):
        yield


@contextmanager
def held_for_filling(
    runtime: Runtime, group_id: str, *, key: str | None, after: Callable[[GroupRecord], None]
) -> Iterator[None]:
    """The same for a block that gives the group members: if the process dies, the group lacks some.

    Args:
        runtime: Whose group it is.
        group_id: The group's id.
        key: Of a dispatch; None for anything else. The same dispatch takes over the hold of one that died.
        after: Is given the group as it is when the hold has begun, and when it has ended.

    Raises:
        UnknownGroup, GroupCompleted, GroupCancelled: It takes no members.
    """
    token = uuid.uuid4().hex if key is None else uuid.uuid5(_OF_KEYS, key).hex
    with _held(runtime, group_id, token, after) as group:
        if not group.standing and not group.sealed:
            # It waits for its seal: a hold that has run out says enough.
            with _renewed(runtime.store, group_id, {token: FILLING_LEASE}):
                yield
            return
        # If it is over, the next generation is what it is filled for.
        pledge = Pledge(generation=group.generation + group.is_over, hold=token)
        try:
            runtime.store.begin_filling(group_id, pledge.token, LASTING)
            with _renewed(runtime.store, group_id, {token: FILLING_LEASE, pledge.token: LASTING}):
                yield
        finally:
            # Before the hold: without it, a pledge is that of somebody who died.
            runtime.tracker.change_group(runtime.store.end_filling(group_id, pledge.token))


@contextmanager
def _held(
    runtime: Runtime, group_id: str, token: str, after: Callable[[GroupRecord], None] | None = None
) -> Iterator[GroupRecord]:
    begun = runtime.store.begin_filling(group_id, token, FILLING_LEASE)
    if after is not None:
        after(begun.group)
    try:
        yield begun.group
    finally:
        changed = runtime.tracker.change_group(runtime.store.end_filling(group_id, token))
        if after is not None:
            after(changed.group)


@contextmanager
def _renewed(store: Store, group_id: str, lasting: Mapping[str, float]) -> Iterator[None]:
    """Renew holds, each for its seconds, until the block ends."""
    done = threading.Event()

    def renew() -> None:
        is_told = False
        while not done.wait(FILLING_LEASE / 3):
            try:
                for token, seconds in lasting.items():
                    store.begin_filling(group_id, token, seconds)
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
