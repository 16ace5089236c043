"""The primitives that a row-locking backend supplies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.event import Cause, EventRecord
    from celery_jobtrack.model.group import GroupRecord, Pauses, Totals
    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.lock import LockRecord, Place


class Conflict(Exception):
    """Somebody else wrote the same row first, or a deadlock was broken: make the transaction again."""


class Rows(Protocol):
    """One open transaction. Reads with ``lock`` hold the row until it ends.

    Any method may raise ``Conflict``; nothing of the transaction remains then.
    """

    namespace: str
    """Of the store: what errors call it."""

    def now(self) -> datetime:
        """The store's time; the same throughout the transaction."""

    def job(self, job_id: str, *, lock: bool) -> JobRecord | None: ...
    def insert_job(self, job: JobRecord, message: bytes | None) -> None: ...

    def jobs_of(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Those of these jobs that are recorded, locked."""

    def insert_jobs(self, jobs: Sequence[tuple[JobRecord, bytes | None]]) -> None:
        """Insert many jobs with their messages."""

    def update_job(self, before: JobRecord, after: JobRecord) -> None:
        """Write what differs; a job that succeeds loses its message, any other keeps it."""

    def set_message(self, job_id: str, message: bytes) -> None: ...
    def set_result(self, job_id: str, result: bytes | None) -> None: ...

    def delete_job(self, job: JobRecord) -> None:
        """Delete a locked job with its attempts, its tags, its message and its result."""

    def attempt(self, token: str) -> Attempt | None: ...
    def insert_attempt(self, attempt: Attempt) -> None: ...
    def update_attempt(self, before: Attempt, after: Attempt) -> None: ...

    def group(self, group_id: str, *, lock: bool) -> GroupRecord | None: ...
    def insert_group(self, group: GroupRecord) -> None: ...
    def update_group(self, before: GroupRecord, after: GroupRecord) -> None: ...
    def group_id_of_key(self, key: str) -> str | None: ...

    def count_members(self, group_id: str, first: int, last: int) -> Totals:
        """The members of the generations from ``first`` to ``last``, counted from the jobs themselves."""

    def lock(self, key: str) -> LockRecord:
        """A key's row, locked; it is made if nobody has claimed the key for a while."""

    def update_lock(self, before: LockRecord, after: LockRecord) -> None: ...
    def place(self, key: str, job_id: str) -> Place | None: ...
    def places_of(self, job_id: str) -> Sequence[Place]: ...

    def put_place(self, place: Place) -> None:
        """Insert a place, or write over the one of this job at this key."""

    def drop_place(self, place: Place) -> None: ...

    def taken_places(self, key: str) -> Sequence[Place]:
        """Of those who hold the key or are called, the longest standing first."""

    def line(self, key: str) -> Sequence[Place]:
        """Those who wait for the key, in their order."""

    def first_in_line(self, key: str) -> Place | None:
        """Whoever is next."""

    def count_places(self, key: str) -> tuple[int, int]:
        """How many have the key or are called, and how many wait, counted from the places themselves."""

    def recount_pauses(self, group: GroupRecord) -> tuple[Pauses, Pauses] | None:
        """Count anew the members that wait for a retry or are parked, where their number is kept.

        It is mended. Gives what was kept and what is right; None if both are the same, or nothing is kept.
        """

    def is_filling(self, group_id: str) -> bool:
        """Whether somebody holds the group's completion open."""

    def hold(self, group_id: str, token: str, until: datetime) -> None:
        """Write or renew a filler's hold."""

    def let_go(self, group_id: str, token: str, *, and_of_dead: bool) -> None:
        """Delete a filler's hold, and with ``and_of_dead`` those that have run out."""

    def add_event(self, cause: Cause, group: GroupRecord) -> None:
        """Write an event, unless the generation has had one of this kind and step."""

    def has_event(self, cause: Cause, group: GroupRecord) -> bool:
        """Whether the generation has had an event of this kind and step."""

    def event(self, event_id: str) -> EventRecord | None: ...
    def update_event(self, before: EventRecord, after: EventRecord) -> None: ...

    def first_pending_event(self, group_id: str) -> EventRecord | None:
        """The earliest event of the group that is neither delivered nor given up."""

    def groups_with_pending_events(self, limit: int) -> Sequence[str]:
        """Ids of groups that have an event which is due and not claimed, by age."""
