"""Looks through the keys of a namespace for what does not fit together, and mends it.

The server names some keys after the other, and each script looks at some hundred records and entries, so
that none works for long. A script sees one moment: a transition that is being made is none of them.

An event is deleted when it was delivered, so whether a group that is over has been announced cannot be told.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload, JobTrackError
from celery_jobtrack.model import diagnosis
from celery_jobtrack.model.fault import Fault, FaultKind, FaultPage
from celery_jobtrack.model.group import GROUP_TASK, Totals
from celery_jobtrack.model.grouping import recounted
from celery_jobtrack.model.state import FINAL, JobState
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import GROUP, STATES
from celery_jobtrack.strategies.redis.group_records import live_members, load_event, load_group
from celery_jobtrack.strategies.redis.ids import pack_id, pack_key, pack_name, unpack_id
from celery_jobtrack.strategies.redis.index_names import called, index_name, readable
from celery_jobtrack.strategies.redis.job_records import load_job, load_last_attempt
from celery_jobtrack.strategies.redis.packing import fields, the_moment, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

KEYS = 100
"""Keys that one script looks at. Few of them are pages of an index, with up to 128 entries each."""
ENTRIES = 300
"""Entries of a larger index that one script looks at."""
PAGES = 40
"""Pages of a group's members that one script counts."""
COUNTS = 3
"""How often a group is counted whose members move meanwhile. Then it is passed over: it is recounted
when it is quiet."""

_OWNERS = {"a": "j", "b": "j", "r": "j", "c": "g", "v": "g", "ge": "g", "gu": "g"}
_NAMES = {
    "a": "a list of attempts",
    "b": "a message",
    "r": "a result",
    "c": "the texts",
    "v": "an event",
    "ge": "a list of events",
    "gu": "a list of events that were given up",
}
_LIVE = ((JobState.STARTED, "started"), (JobState.RETRY, "retrying"), (JobState.WAITING, "waiting"))


class Faults(RedisBase):
    """The doctor's questions, and the repairs that no transition makes."""

    def faults(self, cursor: str | None = None) -> FaultPage:
        scan, larger = _place(cursor)
        if larger:
            return self._faults_of_index(scan, larger)
        following, examined, found = self._ask(
            "examine_keys",
            scan.encode(),
            b"%d" % KEYS,
            b"%d" % ENTRIES,
            b"%d" % round(diagnosis.LONG.total_seconds() * 1_000_000),
            pack_name(GROUP_TASK),
        )
        larger = [(what[1], "0") for what in found if what[0] == b"large"]
        faults = [fault for what in found for fault in self._faults_of(what)]
        if cursor is None and (said := self._run("mend_numbers", b"0")):
            faults.append(Fault(kind=FaultKind.INDEX, subject="counts", text=said.decode(), detail="numbers"))
        return FaultPage(
            faults=tuple(faults), cursor=_cursor(following.decode(), larger), examined=int(examined)
        )

    def fillers(self, group_id: str) -> Mapping[str, datetime]:
        answer = self._ask("group", pack_id(group_id), b"")
        return _fillers(answer[1]) if answer else {}

    def mend(self, fault: Fault) -> bool:
        subject, detail = fault.subject, fault.detail
        if fault.kind is FaultKind.ATTEMPT_OPEN:
            return bool(self._run("mend_job", pack_id(subject), b"attempt"))
        if fault.kind is FaultKind.NO_GROUP:
            return bool(self._run("mend_job", pack_id(subject), b"no group"))
        if fault.kind is FaultKind.GIVEN_UP:
            return bool(self._run("mend_events", pack_id(detail), pack_name(subject), b""))
        if fault.kind is FaultKind.ORPHAN:
            kind, _, rest = detail.partition(":")
            owner = _OWNERS[kind].encode()
            return bool(self._run("mend_orphan", kind.encode(), bytes.fromhex(rest), owner))
        if fault.kind is FaultKind.INDEX:
            return self._mend_index(subject, detail)
        return False

    def _mend_index(self, subject: str, detail: str) -> bool:
        kind, _, rest = detail.partition(":")
        if kind == "job":
            return bool(self._run("mend_job", pack_id(subject), b"lacks"))
        if kind == "group":
            return bool(self._run("mend_group", pack_id(subject)))
        if kind == "lock":
            return bool(self._run("mend_lock", pack_key(subject)))
        if kind == "numbers":
            return bool(self._run("mend_numbers", b"1"))
        if kind == "texts":
            raise JobTrackError(
                "what was written once is gone for good: delete the group, or bring it back from a backup"
            )
        if kind == "events":
            return bool(self._run("mend_events", pack_id(subject), b"", pack_name(rest)))
        index, _, entry = rest.partition(":")
        return bool(self._run("mend_index", bytes.fromhex(index), bytes.fromhex(entry)))

    def _faults_of_index(self, scan: str, larger: list[tuple[bytes, str]]) -> FaultPage:
        index, place = larger[0]
        following, examined, found = self._ask("examine_index", index, place.encode(), b"%d" % ENTRIES)
        rest = larger[1:] if following == b"0" else [(index, following.decode()), *larger[1:]]
        faults = [fault for what in found for fault in self._faults_of(what)]
        return FaultPage(faults=tuple(faults), cursor=_cursor(scan, rest), examined=int(examined))

    def _faults_of(self, what: list[bytes]) -> Iterator[Fault]:
        """What one line of a script's answer says."""
        kind = what[0].decode()
        if kind == "group":
            yield from self._faults_of_group(unpack_id(what[1]))
        elif kind in {"lacks", "lock"}:
            yield _not_filed(kind, what[1], what[2].decode())
        elif kind == "extra":
            index, entry = what[2], what[1]
            text = f"the index of {index_name(index)} lists {readable(entry)}, which does not belong there"
            detail = f"entry:{index.hex()}:{entry.hex()}"
            yield Fault(kind=FaultKind.INDEX, subject=readable(entry), text=text, detail=detail)
        elif kind == "orphan":
            its, rest = what[2].decode(), what[1]
            owner = "job" if _OWNERS[its] == "j" else "group"
            of = f"the {owner} of event {readable(rest)}" if its == "v" else f"{owner} {readable(rest)}"
            yield diagnosis.orphan(_NAMES[its], readable(rest), of, f"{its}:{rest.hex()}")
        elif kind == "unlisted":
            group_id, event_id = unpack_id(what[1]), what[2].decode()
            text = f"the list of the events of group {group_id} is wrong, so that they are not delivered"
            yield Fault(kind=FaultKind.INDEX, subject=group_id, text=text, detail=f"events:{event_id}")
        elif kind in {"event", "given up"}:
            event = load_event(what[1], what[2]).evolve(undeliverable=kind == "given up")
            if (fault := diagnosis.fault_of_event(event, self.now())) is not None:
                yield fault
        elif kind in {"attempt", "no group", "no child"}:
            yield from self._faults_of_job(kind, unpack_id(what[1]), what[2])

    def _faults_of_job(self, kind: str, job_id: str, raw: bytes) -> Iterator[Fault]:
        job = load_job(job_id, raw)
        if kind == "attempt":
            yield from diagnosis.faults_of_attempt(job, load_last_attempt(job_id, raw))
        elif kind == "no group":
            yield diagnosis.without_group(job)
        elif diagnosis.is_settled_in(self.now(), job.enqueued_at):
            yield diagnosis.without_child(job)

    def _faults_of_group(self, group_id: str) -> Iterator[Fault]:
        counted: dict[JobState, int] | None = None
        for _ in range(COUNTS):
            answer, counted = self._counted(group_id)
            if not answer:
                return
            if counted is not None:
                break
        numbers, texts, now, _, _, missing, member, parent = answer
        if not texts:
            text = f"the texts of group {group_id} are gone: its title, its key, its payload, its parent"
            yield Fault(kind=FaultKind.INDEX, subject=group_id, text=text, detail="texts")
            return
        group = load_group(group_id, numbers, texts)
        if missing:
            text = f"group {group_id} is missing or out of place in these indexes: {called(missing.decode())}"
            yield Fault(kind=FaultKind.INDEX, subject=group_id, text=text, detail="group")
        yield from diagnosis.faults_of_group(
            group,
            counted=None if counted is None or group.is_over else _totals(counted),
            fillers=_fillers(numbers),
            now=the_moment(now),
            told=None,
        )
        if counted is not None and not group.is_over and recounted(group, _totals(counted)) == group.totals:
            live = live_members(numbers)
            wrong = [name for state, name in _LIVE if live[state] != counted.get(state, 0)]
            if wrong:
                text = f"group {group.title!r} ({group_id}) counts wrongly how many are {', '.join(wrong)}"
                yield Fault(kind=FaultKind.COUNTERS, subject=group_id, text=text)
        if group.parent_id is not None:
            is_open = bool(parent) and GROUP["completed_at"] not in fields(unpack(parent))
            yield from diagnosis.faults_of_child(
                group,
                load_job(group_id, member) if member else None,
                has_open_parent=is_open,
                now=the_moment(now),
            )

    def _counted(self, group_id: str) -> tuple[Any, dict[JobState, int] | None]:
        """A group, and its members by state; None for those if the group changed while they were counted."""
        counts, before, page = [0] * len(STATES), b"", b""
        while True:
            answer = self._ask("examine_group", pack_id(group_id), page, b"%d" % PAGES)
            if not answer:
                return None, None
            numbers, _, _, following, found, *_ = answer
            if before and numbers != before:
                return answer, None
            before = numbers
            counts = [sum(pair) for pair in zip(counts, found, strict=True)]
            if following is False:
                return answer, {state: counts[code - 1] for state, code in STATES.items()}
            page = b"%d" % following


def _not_filed(kind: str, name: bytes, indexes: str) -> Fault:
    """A job, or a key, that is not in every index in which it belongs."""
    if kind == "lacks":
        subject, detail = unpack_id(name), "job"
        text = f"job {subject} is missing or out of place in these indexes: {called(indexes)}"
    else:
        subject, detail = name.decode(), "lock"
        text = f"lock {subject!r} is missing in these indexes: {called(indexes)}"
        if indexes.startswith("call"):
            text = f"lock {subject!r} is free, and who waits for it was not called"
    return Fault(kind=FaultKind.INDEX, subject=subject, text=text, detail=detail)


def _totals(counted: Mapping[JobState, int]) -> Totals:
    totals = Totals(total=sum(counted.values()))
    for state in FINAL:
        totals = totals.counting(state, by=counted.get(state, 0))
    return totals


def _fillers(numbers: bytes) -> dict[str, datetime]:
    holds = fields(unpack(numbers)).get(GROUP["fillers"], {})
    return {unpack_id(token): the_moment(until) for token, until in holds.items()}


def _cursor(scan: str, larger: list[tuple[bytes, str]]) -> str | None:
    if scan == "0" and not larger:
        return None
    return json.dumps([scan, [[index.hex(), place] for index, place in larger]])


def _place(cursor: str | None) -> tuple[str, list[tuple[bytes, str]]]:
    """Where to go on among the keys, and in which larger indexes before that."""
    if cursor is None:
        return "0", []
    try:
        scan, larger = json.loads(cursor)
        return str(int(scan)), [(bytes.fromhex(index), str(int(place))) for index, place in larger]
    except (ValueError, TypeError) as error:
        raise InvalidPayload(
            f"{cursor[:40]!r} is no cursor: hand on the one that a page came with"
        ) from error
