"""Jobs and attempts to values and back."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.job import Attempt, ErrorInfo, JobRecord, Progress
from celery_jobtrack.strategies.redis.fields import ATTEMPT, JOB, OUTCOMES, REASONS, STATES
from celery_jobtrack.strategies.redis.ids import pack_id, pack_name, unpack_id
from celery_jobtrack.strategies.redis.packing import (
    fields,
    finite,
    moment,
    pack,
    the_moment,
    to_microseconds,
    unpack,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.model.requests import Origin

_STATE = {code: state for state, code in STATES.items()}
_REASON = {code: reason for reason, code in REASONS.items()}
_OUTCOME = {code: outcome for outcome, code in OUTCOMES.items()}
_TASK = JOB["task"]
_QUEUE = JOB["queue"]
_GROUP_ID = JOB["group_id"]
_ATTEMPTS = JOB["attempts"]
_ATTEMPT = JOB["attempt"]
_ENQUEUED_AT = JOB["enqueued_at"]
_PUBLISHED_AT = JOB["published_at"]
_STARTED_AT = JOB["started_at"]
_FINISHED_AT = JOB["finished_at"]
_ERROR = JOB["error"]
_RETRIES = JOB["retries"]
_RUN = JOB["run"]
_PRIORITY = JOB["priority"]
_ARGS = JOB["args"]
_KWARGS = JOB["kwargs"]
_TAGS = JOB["tags"]
_MAX_RETRIES = JOB["max_retries"]
_ROOT_ID = JOB["root_id"]
_PARENT_ID = JOB["parent_id"]
_ETA = JOB["eta"]
_EXPIRES_AT = JOB["expires_at"]
_PROGRESS = JOB["progress"]
_CANCEL_REQUESTED = JOB["cancel_requested"]
_COPY_WAITING = JOB["copy_waiting"]
_COPIES = JOB["copies"]
_KEYED = JOB["keyed"]
_WAITS_FOR = JOB["waits_for"]
_BLOCKED_BY = JOB["blocked_by"]
_REASON_CODE = JOB["reason"]
_TOKEN, _OUTCOME_CODE, _LATE = ATTEMPT["token"], ATTEMPT["outcome"], ATTEMPT["late_outcome"]
_WORKER_ID, _WORKER, _PID = ATTEMPT["worker_id"], ATTEMPT["worker"], ATTEMPT["pid"]
_ATTEMPT_RETRIES, _ATTEMPT_RUN, _RERUNS = ATTEMPT["retries"], ATTEMPT["run"], ATTEMPT["reruns"]
_BEGAN, _CLOSED_AT, _ATTEMPT_ERROR = ATTEMPT["started_at"], ATTEMPT["finished_at"], ATTEMPT["error"]
_SAME = True
"""A root that is the job itself, as of every job outside of a chain."""

_known_id = lru_cache(maxsize=1024)(unpack_id)
"""For ids that come again and again: of groups and of workers."""


def _text(text: str) -> str:
    return text


def _names(names: tuple[str, ...]) -> list[bytes]:
    return [pack_name(name) for name in names]


_ORIGIN: tuple[tuple[str, int, object, Callable[[Any], Any]], ...] = tuple(
    (name, JOB[name], absent, packed)
    for name, absent, packed in (
        ("task", None, pack_name),
        ("queue", None, pack_name),
        ("priority", None, whole),
        ("args", None, _text),
        ("kwargs", None, _text),
        ("tags", (), _names),
        ("group_id", None, pack_id),
        ("retries", 0, whole),
        ("max_retries", None, whole),
        ("run", 1, whole),
        ("root_id", None, pack_id),
        ("parent_id", None, pack_id),
        ("eta", None, to_microseconds),
        ("expires_at", None, to_microseconds),
    )
)
"""What of an origin is kept with its job: under which number, unless it is what it mostly is, and how."""


def dump_origin(origin: Origin) -> bytes:
    """What a message says of its job, by the fields of the job that a script makes of it."""
    found: dict[int, Any] = {}
    for name, code, absent, packed in _ORIGIN:
        value = getattr(origin, name)
        if value is not None and value != absent:
            found[code] = packed(value)
    if origin.root_id == origin.job_id:
        found[_ROOT_ID] = _SAME
    if origin.claims:
        found[_KEYED] = True
    return pack(found)


def dump_error(error: ErrorInfo | None) -> bytes:
    """An error for a script: empty if there is none."""
    return b"" if error is None else pack((error.type, error.message, error.traceback))


def dump_worker(worker_id: str, name: str, pid: int) -> bytes:
    """What an attempt keeps of its worker."""
    return pack(
        {
            ATTEMPT["worker_id"]: pack_id(worker_id),
            ATTEMPT["worker"]: pack_name(name),
            ATTEMPT["pid"]: whole(pid),
        }
    )


def dump_progress(progress: Progress) -> bytes:
    """How far a job says it is."""
    total = progress.total
    return pack((finite(progress.current), False if total is None else finite(total), progress.text))


def load_job(job_id: str, raw: bytes) -> JobRecord:
    """The job in a value."""
    return _load_job(job_id, unpack(raw))


def load_attempts(job_id: str, raw: bytes, earlier: list[bytes]) -> list[Attempt]:
    """All attempts of a job, oldest first: those in its list, and the last one inside of its value."""
    attempts = [
        _load_attempt(job_id, number, fields(unpack(value))) for number, value in enumerate(earlier, 1)
    ]
    last = load_last_attempt(job_id, raw)
    return attempts if last is None else [*attempts, last]


def load_last_attempt(job_id: str, raw: bytes) -> Attempt | None:
    """The last attempt of a job, in the job's value."""
    return _load_last_attempt(job_id, unpack(raw)[2])


def _load_last_attempt(job_id: str, job: dict[int, Any]) -> Attempt | None:
    found = job.get(_ATTEMPT)
    if found is None:
        return None
    attempt = fields(found)
    if attempt.get(_ATTEMPT_ERROR) is True:  # the job's
        attempt[_ATTEMPT_ERROR] = job[_ERROR]
    return _load_attempt(job_id, job[_ATTEMPTS], attempt)


def _load_job(job_id: str, value: list[Any]) -> JobRecord:
    """Written out, not looped over: every transition makes one."""
    state, generation, found = value
    get = found.get
    token = None
    attempt = get(_ATTEMPT)
    if attempt is not None:
        attempt = fields(attempt)
        if _OUTCOME_CODE not in attempt:
            token = unpack_id(attempt[_TOKEN])
    queue, args, kwargs, tags = get(_QUEUE), get(_ARGS), get(_KWARGS), get(_TAGS)
    group_id, root_id, parent_id = get(_GROUP_ID), get(_ROOT_ID), get(_PARENT_ID)
    keyed, waits_for, blocked_by = get(_KEYED, False), None, None
    if keyed:
        waits_for, blocked_by = get(_WAITS_FOR), get(_BLOCKED_BY)
    reason, error, progress = get(_REASON_CODE), get(_ERROR), get(_PROGRESS)
    return JobRecord(
        id=job_id,
        task=found[_TASK].decode(),
        state=_STATE[state],
        reason=None if reason is None else _REASON[reason],
        queue=None if queue is None else queue.decode(),
        priority=get(_PRIORITY),
        args=None if args is None else args.decode(),
        kwargs=None if kwargs is None else kwargs.decode(),
        tags=() if tags is None else tuple(tag.decode() for tag in tags),
        group_id=None if group_id is None else _known_id(group_id),
        generation=generation or None,
        retries=get(_RETRIES, 0),
        max_retries=get(_MAX_RETRIES),
        run=get(_RUN, 1),
        attempts=get(_ATTEMPTS, 0),
        token=token,
        root_id=root_id if root_id is None else job_id if root_id is _SAME else unpack_id(root_id),
        parent_id=None if parent_id is None else unpack_id(parent_id),
        enqueued_at=moment(get(_ENQUEUED_AT)),
        published_at=moment(get(_PUBLISHED_AT)),
        copies=get(_COPIES, 0),
        eta=moment(get(_ETA)),
        expires_at=moment(get(_EXPIRES_AT)),
        started_at=moment(get(_STARTED_AT)),
        finished_at=moment(get(_FINISHED_AT)),
        progress=None if progress is None else _load_progress(progress),
        error=None if error is None else _load_error(error),
        cancel_requested=get(_CANCEL_REQUESTED, False),
        copy_waiting=get(_COPY_WAITING, False),
        keyed=keyed,
        waits_for=None if waits_for is None else waits_for.decode(),
        blocked_by=None if blocked_by is None else unpack_id(blocked_by),
    )


def _load_attempt(job_id: str, number: int, found: dict[int, Any]) -> Attempt:
    get = found.get
    outcome, late, error = get(_OUTCOME_CODE), get(_LATE), get(_ATTEMPT_ERROR)
    return Attempt(
        token=unpack_id(found[_TOKEN]),
        job_id=job_id,
        number=number,
        worker_id=_known_id(found[_WORKER_ID]),
        worker=found[_WORKER].decode(),
        pid=found[_PID],
        retries=get(_ATTEMPT_RETRIES, 0),
        run=get(_ATTEMPT_RUN, 1),
        reruns=get(_RERUNS, False),
        started_at=the_moment(found[_BEGAN]),
        finished_at=moment(get(_CLOSED_AT)),
        outcome=None if outcome is None else _OUTCOME[outcome],
        error=None if error is None else _load_error(error),
        late_outcome=None if late is None else _OUTCOME[late],
    )


def _load_progress(found: list[Any]) -> Progress:
    current, total, text = found
    return Progress(
        current=float(current), total=None if total is False else float(total), text=text.decode()
    )


def _load_error(found: list[bytes]) -> ErrorInfo:
    kind, message, traceback = found
    return ErrorInfo(type=kind.decode(), message=message.decode(), traceback=traceback.decode())
