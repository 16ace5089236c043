"""Back-pressure: no further chunk while too much of a group is outstanding."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.state import GroupState
from celery_jobtrack.strategies.unknown import unknown_group

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime

_SHORTEST = 0.02
_LONGEST = 0.5
"""Seconds between two looks at the group."""


class Room:
    """Waits until few enough members of a group are outstanding.

    Args:
        runtime: The app's.
        group_id: The group.
        most: How many may be outstanding; see ``check_room``.
    """

    def __init__(self, runtime: Runtime, group_id: str, most: int) -> None:
        self._runtime = runtime
        self._group_id = group_id
        self._most = most

    def wait(self) -> None:
        """Return when there is room, or when the group was cancelled: the next chunk finds that out."""
        pause = _SHORTEST
        while self._runtime.enabled:
            status = self._runtime.store.group_status(self._group_id)
            if status is None:
                raise unknown_group(self._group_id, self._runtime.settings.namespace)
            if status.outstanding < self._most or status.state is GroupState.CANCELLED:
                return
            time.sleep(pause)
            pause = min(_LONGEST, pause * 1.5)


def check_room(most: Any, group_id: str | None) -> None:
    """See that there is a group whose members can be counted so far. Raises InvalidPayload."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InvalidPayload(f"max_outstanding is a whole number from 1, not {most!r}")
    if group_id is None:
        raise InvalidPayload("max_outstanding counts the members of a group, and there is no group=")
