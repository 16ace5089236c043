"""What a store answers about jobs and groups: one by one, in pages, and in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.event import EventCounts
from celery_jobtrack.model.requests import Page
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import GROUP_STATES, STATES
from celery_jobtrack.strategies.redis.group_records import load_group
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id
from celery_jobtrack.strategies.redis.job_records import load_attempts, load_job
from celery_jobtrack.strategies.redis.packing import LARGEST, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from celery_jobtrack.model.job import Attempt, JobRecord
    from celery_jobtrack.model.requests import GroupQuery, JobQuery
    from celery_jobtrack.model.state import GroupState, JobState

LOOKED_AT = 1000
"""How many records one script looks at in search of those that a filter wants; some milliseconds."""
LISTED_PAGES = 50
"""How many pages of a group's members one script looks at."""
SCRIPTS = 10
"""How many such scripts make one page, at most. What is not found then is left to the next page."""


class Listings(RedisBase):
    """Reads; the only change is that index entries of jobs that were dropped are removed."""

    def job(self, job_id: str) -> JobRecord | None:
        raw = self._ask("read_job", pack_id(job_id))[0]
        return load_job(job_id, raw) if raw else None

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        raw, *earlier = self._ask("read_job", pack_id(job_id))
        return load_attempts(job_id, raw, earlier) if raw else []

    def message(self, job_id: str) -> bytes | None:
        found: bytes | None = self._run("message", pack_id(job_id))
        return found

    def results(self, job_ids: Sequence[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for at in range(0, len(job_ids), LOOKED_AT):
            some = job_ids[at : at + LOOKED_AT]
            results = self._ask("results", *[pack_id(job_id) for job_id in some])
            found |= {
                job_id: result for job_id, result in zip(some, results, strict=True) if result is not False
            }
        return found

    def members(self, group_id: str, limit: int, cursor: str | None = None) -> Page:
        """A page may be short, or empty, where members were pruned, and still not the last."""
        begin = b"0" if cursor is None else _seq_of(cursor)
        items: list[JobRecord] = []
        for _ in range(SCRIPTS):
            left = b"%d" % (limit - len(items))
            following, *found = self._ask(
                "members_page", pack_id(group_id), begin, left, b"%d" % LISTED_PAGES
            )
            items += [load_job(unpack_id(found[at]), found[at + 1]) for at in range(0, len(found), 2)]
            if following is False:
                return Page(items=tuple(items))
            begin = b"%d" % following
            if len(items) >= limit:
                break
        return Page(items=tuple(items), cursor=begin.decode())

    def jobs(self, query: JobQuery) -> Page:
        """A page may be short, or empty, and still not the last: its cursor says so.

        Jobs of a group and in a state that is not SUCCESS come from an index, and so do all jobs by
        time. Other filters look through these, a bounded number of records for each page.
        """
        filters = (
            b"" if query.state is None else b"%d" % STATES[query.state],
            b"" if query.task is None else pack_name(query.task),
            b"" if query.queue is None else pack_name(query.queue),
            b"" if query.group_id is None else pack_id(query.group_id),
            b"" if query.tag is None else pack_name(query.tag),
            _time(query.since),
        )

        return self._page("jobs_listing", filters, query, 2, lambda row: load_job(unpack_id(row[0]), row[1]))

    def groups(self, query: GroupQuery) -> Page:
        filters = (
            b"" if query.state is None else b"%d" % GROUP_STATES[query.state],
            _time(query.due_before),
        )
        return self._page(
            "groups_listing", filters, query, 3, lambda row: load_group(unpack_id(row[0]), row[1], row[2])
        )

    def counts(self) -> Mapping[JobState, int]:
        numbers = self._ask("counts")[0]
        return {state: numbers[code - 1] for state, code in STATES.items() if numbers[code - 1]}

    def group_counts(self) -> Mapping[GroupState, int]:
        numbers = self._ask("counts")[1]
        return {state: numbers[code - 1] for state, code in GROUP_STATES.items() if numbers[code - 1]}

    def event_counts(self) -> EventCounts:
        _, _, pending, undeliverable = self._ask("counts")
        return EventCounts(pending=pending, undeliverable=undeliverable)

    def _page(
        self, name: str, filters: tuple[bytes, ...], query: JobQuery | GroupQuery, width: int, load: Any
    ) -> Page:
        """Fill a page by as many bounded scripts as it takes, up to a limit."""
        below = b"" if query.cursor is None else _seq_of(query.cursor)
        items: list[Any] = []
        for _ in range(SCRIPTS):
            left = b"%d" % (query.limit - len(items))
            following, *found = self._ask(name, *filters, left, below, b"%d" % LOOKED_AT)
            items += [load(found[at : at + width]) for at in range(0, len(found), width)]
            if following is False:
                return Page(items=tuple(items))
            below = following
            if len(items) >= query.limit:
                break
        return Page(items=tuple(items), cursor=below.decode())


def _time(moment: datetime | None) -> bytes:
    return b"" if moment is None else b"%d" % to_microseconds(moment)


def _seq_of(cursor: str) -> bytes:
    if cursor.isascii() and cursor.isdigit() and int(cursor[:20]) <= LARGEST:
        return cursor.encode()
    raise InvalidPayload(f"{cursor[:40]!r} is no cursor: hand on the one that a page came with")
