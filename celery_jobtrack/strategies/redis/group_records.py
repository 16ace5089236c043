"""Groups, events and workers to values and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.callback import Callback
from celery_jobtrack.model.event import EventRecord
from celery_jobtrack.model.group import GroupRecord, Totals
from celery_jobtrack.model.requests import WorkerRecord
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.redis.fields import EVENT, GROUP, GROUP_OUTCOMES, GROUP_STATES, KINDS, WORKER
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id
from celery_jobtrack.strategies.redis.packing import (
    fields,
    finite,
    moment,
    pack,
    the_moment,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATE = {code: state for state, code in GROUP_STATES.items()}
_KIND = {code: kind for kind, code in KINDS.items()}
_OUTCOME = {code: outcome for outcome, code in GROUP_OUTCOMES.items()}
_COUNTERS = ("total", "succeeded", "failed", "revoked", "skipped")
_ZERO = (*_COUNTERS, *(f"earlier_{name}" for name in _COUNTERS), "started", "retrying", "waiting")


def dump_numbers(group: GroupRecord) -> bytes:
    """What of a new group every transition of a member reads and writes."""
    found: dict[int, Any] = dict.fromkeys((GROUP[name] for name in (*_ZERO, "members", "left", "first")), 0)
    found[GROUP["state"]] = GROUP_STATES[group.state]
    found[GROUP["generation"]] = group.generation
    found[GROUP["time_to_check"]] = finite(group.time_to_check)
    found[GROUP["settle_after"]] = finite(group.settle_after)
    for name in (
        "standing",
        "sealed",
        "incomplete",
        "cancels_on_failure",
        "tells_failure",
        "needs_closing",
    ):
        if getattr(group, name):
            found[GROUP[name]] = True
    if group.progress_every:
        found[GROUP["progress_every"]] = group.progress_every
    return pack(found)


def dump_texts(group: GroupRecord) -> bytes:
    """What of a group is written once: key (which must be first), title, description, payload, parent.

    Its callbacks come behind these, if it has some.
    """
    try:
        payload = json.dumps(group.payload, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"the payload cannot be kept as JSON: {error}") from error
    texts: list[Any] = [
        False if group.key is None else pack_name(group.key),
        group.title,
        group.description,
        payload,
        False if group.parent_id is None else pack_id(group.parent_id),
    ]
    if group.callbacks:
        texts.append(json.dumps([callback.dump() for callback in group.callbacks], separators=(",", ":")))
    return pack(texts)


def title_of(texts: bytes) -> str:
    """A group's title, from its texts."""
    title: bytes = unpack(texts)[1]
    return title.decode()


def load_group(group_id: str, numbers: bytes, texts: bytes) -> GroupRecord:
    """The group in its two values."""
    found = fields(unpack(numbers))
    key, title, description, payload, parent_id, *callbacks = unpack(texts)
    generation, first_failure = found[GROUP["generation"]], found.get(GROUP["first_failure"])
    return GroupRecord(
        id=group_id,
        title=title.decode(),
        key=key.decode() if key else None,
        description=description.decode(),
        payload=json.loads(payload),
        standing=found.get(GROUP["standing"], False),
        sealed=found.get(GROUP["sealed"], False),
        incomplete=found.get(GROUP["incomplete"], False),
        time_to_check=float(found[GROUP["time_to_check"]]),
        settle_after=float(found[GROUP["settle_after"]]),
        parent_id=unpack_id(parent_id) if parent_id else None,
        cancels_on_failure=found.get(GROUP["cancels_on_failure"], False),
        callbacks=_load_callbacks(callbacks[0]) if callbacks else (),
        state=_STATE[found[GROUP["state"]]],
        generation=generation,
        base_generation=found.get(GROUP["base_generation"], generation),
        totals=Totals(**{name: found[GROUP[name]] for name in _COUNTERS}),
        earlier=Totals(**{name: found[GROUP[f"earlier_{name}"]] for name in _COUNTERS}),
        first_failure=None if first_failure is None else unpack_id(first_failure),
        created_at=the_moment(found[GROUP["created_at"]]),
        started_at=moment(found.get(GROUP["started_at"])),
        completed_at=moment(found.get(GROUP["completed_at"])),
        closed_at=moment(found.get(GROUP["closed_at"])),
        idle_since=moment(found.get(GROUP["idle_since"])),
        next_check_at=moment(found.get(GROUP["next_check_at"])),
    )


def _load_callbacks(texts: bytes) -> tuple[Callback, ...]:
    return tuple(Callback.load(dumped) for dumped in json.loads(texts))


def live_members(numbers: bytes) -> Mapping[JobState, int]:
    """How many members are in the states that the totals do not tell apart."""
    found = fields(unpack(numbers))
    return {
        JobState.STARTED: found[GROUP["started"]],
        JobState.RETRY: found[GROUP["retrying"]],
        JobState.WAITING: found[GROUP["waiting"]],
    }


def is_filling(numbers: bytes, now: int) -> bool:
    """Whether somebody holds the group's completion open at a time in microseconds."""
    holds = fields(unpack(numbers)).get(GROUP["fillers"], {})
    return any(till > now for till in holds.values())


def load_event(event_id: bytes, raw: bytes) -> EventRecord:
    """A pending event."""
    found = fields(unpack(raw))
    claimed_by, error = found.get(EVENT["claimed_by"]), found.get(EVENT["error"])
    outcome, job_id = found.get(EVENT["outcome"]), found.get(EVENT["job_id"])
    return EventRecord(
        id=event_id.decode(),
        kind=_KIND[found[EVENT["kind"]]],
        group_id=unpack_id(found[EVENT["group_id"]]),
        generation=found[EVENT["generation"]],
        step=found.get(EVENT["step"], 0),
        outcome=None if outcome is None else _OUTCOME[outcome],
        job_id=None if job_id is None else unpack_id(job_id),
        seq=found[EVENT["seq"]],
        created_at=the_moment(found[EVENT["created_at"]]),
        claimed_by=None if claimed_by is None else claimed_by.decode(),
        claimed_until=moment(found.get(EVENT["claimed_until"])),
        tries=found.get(EVENT["tries"], 0),
        error=None if error is None else error.decode(),
    )


def load_events(found: list[bytes] | bool) -> tuple[EventRecord, ...]:
    """The event that a transition gave to its caller, if any."""
    return (load_event(found[0], found[1]),) if isinstance(found, list) else ()


def load_worker(worker_id: bytes, raw: bytes) -> WorkerRecord:
    """A worker."""
    found = fields(unpack(raw))
    return WorkerRecord(
        id=unpack_id(worker_id),
        name=found[WORKER["name"]].decode(),
        pid=found[WORKER["pid"]],
        registered_at=the_moment(found[WORKER["registered_at"]]),
        heartbeat_at=the_moment(found[WORKER["heartbeat_at"]]),
        lease_until=the_moment(found[WORKER["lease_until"]]),
        stopped_at=moment(found.get(WORKER["stopped_at"])),
    )
