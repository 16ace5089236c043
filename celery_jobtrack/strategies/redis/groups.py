"""The operations of groups and of their events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled
from celery_jobtrack.model.group import describe_status
from celery_jobtrack.model.requests import GroupChanged
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import CANCELLING_GROUP, GROUP, UNKNOWN_GROUP
from celery_jobtrack.strategies.redis.group_records import (
    dump_numbers,
    dump_texts,
    is_filling,
    live_members,
    load_event,
    load_events,
    load_group,
    title_of,
)
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id
from celery_jobtrack.strategies.redis.job_records import load_job
from celery_jobtrack.strategies.redis.jobs import refused
from celery_jobtrack.strategies.redis.packing import microseconds as _microseconds
from celery_jobtrack.strategies.redis.packing import pack, the_moment
from celery_jobtrack.strategies.row.groups import FILLING_CHECK
from celery_jobtrack.strategies.unknown import unknown_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.event import EventRecord
    from celery_jobtrack.model.group import GroupRecord, GroupStatus
    from celery_jobtrack.model.job import JobRecord

COUNTED_PAGES = 150
"""How many pages of members one script counts: some 20,000 members, which takes 20 to 30 ms."""
SWEPT_PAGES = 50

_COUNTER = {code: name for name, code in GROUP.items()}


class GroupOperations(RedisBase):
    """Create, mark, cancel, seal, fill and recompute groups; claim and acknowledge events."""

    def create_group(self, group: GroupRecord) -> GroupRecord:
        key = b"" if group.key is None else pack_name(group.key)
        answer = self._ask("create_group", pack_id(group.id), key, dump_numbers(group), dump_texts(group))
        return load_group(unpack_id(answer[0]), answer[1], answer[2])

    def group(self, group_id: str) -> GroupRecord | None:
        return _group(self._ask("group", pack_id(group_id), b""))

    def group_by_key(self, key: str) -> GroupRecord | None:
        return _group(self._ask("group", b"", pack_name(key)))

    def group_status(self, group_id: str) -> GroupStatus | None:
        answer = self._ask("status", pack_id(group_id))
        if not answer:
            return None
        numbers, texts, now = answer
        return describe_status(
            load_group(group_id, numbers, texts),
            live_members(numbers),
            filling=is_filling(numbers, now),
            now=the_moment(now),
        )

    def mark_running(self, group_id: str) -> GroupChanged:
        return self._change("mark_running", group_id)

    def cancel_group(self, group_id: str) -> GroupChanged:
        return self._change("cancel_group", group_id)

    def seal_group(self, group_id: str, *, incomplete: bool = False) -> GroupChanged:
        return self._change("seal_group", group_id, b"1" if incomplete else b"0")

    def begin_filling(self, group_id: str, token: str, seconds: float) -> GroupChanged:
        return self._change("begin_filling", group_id, pack_id(token), _microseconds(seconds))

    def end_filling(self, group_id: str, token: str) -> GroupChanged:
        return self._change("end_filling", group_id, pack_id(token))

    def reopen_group(self, group_id: str, token: str, seconds: float, *, keep_totals: bool) -> GroupChanged:
        kept = b"1" if keep_totals else b"0"
        return self._change("reopen_group", group_id, pack_id(token), _microseconds(seconds), kept)

    def close_group(self, group_id: str) -> GroupChanged:
        return self._change("close_group", group_id)

    def recompute_group(self, group_id: str) -> GroupChanged:
        """Count in pieces, so that a large group does not keep the server from its other work.

        The count is used only if no member has moved meanwhile. Of a group in which members move all the
        time the counters are trusted until it is quiet: it cannot complete before it is.
        """
        packed = pack_id(group_id)
        counts, before, page = [0] * 8, b"", b""
        while True:
            answer = self._ask("count_members", packed, page, b"%d" % COUNTED_PAGES)
            if answer[0] == UNKNOWN_GROUP:
                raise unknown_group(group_id, self._namespace)
            _, numbers, following, found = answer
            before = before or numbers
            counts = [sum(pair) for pair in zip(counts, found, strict=True)]
            if following is False or numbers != before:
                break
            page = b"%d" % following
        return self._change("recompute", group_id, before, pack(counts), _microseconds(FILLING_CHECK))

    def queued_members(self, group_id: str, limit: int) -> Sequence[JobRecord]:
        packed = pack_id(group_id)
        seen, steps = False, 0
        found: list[bytes] = []
        while not seen and not found and steps < COUNTED_PAGES:
            seen, *found = self._ask("queued_members", packed, b"%d" % limit, b"%d" % SWEPT_PAGES)
            steps += 1
        return [load_job(unpack_id(found[n]), found[n + 1]) for n in range(0, len(found), 2)]

    def _change(self, name: str, group_id: str, *arguments: bytes) -> GroupChanged:
        answer = self._ask(name, self._claimant(), pack_id(group_id), *arguments)
        if answer[0] != 1:
            if answer[0] == UNKNOWN_GROUP:
                raise unknown_group(group_id, self._namespace)
            if answer[0] == CANCELLING_GROUP:
                raise GroupCancelled(
                    f"group {title_of(answer[1])!r} ({group_id}) is being cancelled: {answer[2]} of its "
                    "members have not ended; reopen it when they have"
                )
            raise refused(answer[0], group_id, answer[1], self._namespace)
        _, numbers, texts, event, drift = answer
        return GroupChanged(
            group=load_group(group_id, numbers, texts),
            events=load_events(event),
            repaired=_drift(drift) if drift else None,
        )

    # -- events --------------------------------------------------------------------------------

    def claim_events(
        self, claimed_by: str, *, group_id: str | None = None, limit: int = 50
    ) -> Sequence[EventRecord]:
        of_group = b"" if group_id is None else pack_id(group_id)
        found = self._ask("claim_events", pack_name(claimed_by), of_group, b"%d" % limit)
        return [load_event(event_id, raw) for event_id, raw in found]

    def acknowledge_event(self, event_id: str, claimed_by: str) -> Sequence[EventRecord]:
        return load_events(self._ask("acknowledge", pack_name(claimed_by), pack_name(event_id)))

    def postpone_event(self, event_id: str, error: str, *, seconds: float | None) -> None:
        text = str(error).encode("utf-8", "backslashreplace")
        self._run("postpone", pack_name(event_id), text, b"" if seconds is None else _microseconds(seconds))

    def has_due_events(self) -> bool:
        return bool(self._run("has_due_events"))


def _group(answer: Any) -> GroupRecord | None:
    return load_group(unpack_id(answer[0]), answer[1], answer[2]) if answer else None


def _drift(found: list[list[int]]) -> str:
    right = ", ".join(f"{_COUNTER[code]}={count}" for code, count, _ in sorted(found))
    wrong = ", ".join(f"{_COUNTER[code]}={count}" for code, _, count in sorted(found))
    return f"counted {right}, recorded {wrong}"
