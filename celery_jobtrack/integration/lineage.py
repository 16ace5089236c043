"""The groups of which a group is a member, at any distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.strategies.unknown import unknown_group

if TYPE_CHECKING:
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.group import GroupRecord

LARGEST = 1000
"""Groups of which one process remembers this."""


def recorded(runtime: Runtime, group_id: str) -> GroupRecord:
    """The record of the group with this id. Raises UnknownGroup."""
    record = runtime.store.group(group_id) if isinstance(group_id, str) else None
    if record is None:
        raise unknown_group(group_id, runtime.settings.namespace)
    return record


class Lineage:
    """Ancestors of groups. A group's parent never changes, so each group is asked for once.

    Args:
        runtime: Whose groups they are.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[str, tuple[str, ...]] = {}

    def above(self, group_id: str) -> tuple[str, ...]:
        """The ids of a group's parent, of that one's parent, and so on; empty for a group without one.

        Raises:
            UnknownGroup: There is no such group.
            StoreUnavailable: The store does not answer.
        """
        known = self._known.get(group_id)
        if known is not None:
            return known
        group = recorded(self._runtime, group_id)
        parent_id = group.parent_id
        above = () if parent_id is None else (parent_id, *self.above(parent_id))
        if len(self._known) >= LARGEST:
            self._known.clear()
        self._known[group_id] = above
        return above
