"""What jobs return: packed for the store where that is wanted, and given back to whoever asks."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kombu import serialization

from celery_jobtrack.integration.serialised import read
from celery_jobtrack.model.result import Failure, JobResult, NotKept, Pending, Result
from celery_jobtrack.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.config import Settings
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.strategies.contract import Store

logger = logging.getLogger(__name__)

VERSION = 1
PAGE = 200
"""Members whose results are read at once; each may be as large as ``jobtrack_result_max_bytes``."""


def pack_result(settings: Settings, task: Any, value: Any) -> bytes:
    """What a body returned, as the store keeps it: a line of JSON that says how to read it, and the data.

    A value that cannot be kept is no failure of its job: why it was not is kept in its place.
    """
    serializer = task.serializer or task.app.conf.task_serializer
    try:
        content_type, encoding, data = serialization.dumps(value, serializer=serializer)
    except Exception as error:  # noqa: BLE001 - each serializer raises what it likes
        return _not_kept(task, f"it cannot be kept as {serializer}: {error}")
    body = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    allowed = settings.result_max_bytes
    if len(body) > allowed:
        return _not_kept(task, f"it has {len(body)} bytes, and jobtrack_result_max_bytes is {allowed}")
    head = {"v": VERSION, "type": content_type, "encoding": encoding, "text": isinstance(data, str)}
    return json.dumps(head).encode() + b"\n" + body


def _not_kept(task: Any, why: str) -> bytes:
    logger.warning("what job %s (%s) returned is not kept: %s", task.request.id, task.name, why)
    return json.dumps({"v": VERSION, "why": why}).encode() + b"\n"


def result_of(job: JobRecord, packed: bytes | None) -> JobResult:
    """What became of a job.

    Args:
        job: As it is recorded.
        packed: What the store has kept of its result.
    """
    if not job.is_final:
        return Pending(job_id=job.id, state=job.state)
    if job.state in {JobState.FAILURE, JobState.REVOKED}:
        return Failure(job_id=job.id, state=job.state, reason=job.reason, error=job.error)
    if job.state is JobState.SKIPPED:
        return NotKept(job_id=job.id, state=job.state, why=f"the job was skipped ({job.reason})")
    if packed is None:
        why = "its task does not say store_result = True, or the job ended before it did"
        return NotKept(job_id=job.id, state=job.state, why=why)
    head, _, body = packed.partition(b"\n")
    how = json.loads(head)
    if "why" in how:
        return NotKept(job_id=job.id, state=job.state, why=how["why"])
    data = body.decode("utf-8", "surrogatepass") if how["text"] else body
    try:
        value = read(data, how["type"], how["encoding"])
    except Exception as error:  # noqa: BLE001 - of one job among many; a class may be gone, a serializer missing
        return NotKept(job_id=job.id, state=job.state, why=f"it is kept and cannot be read here: {error}")
    return Result(job_id=job.id, state=job.state, value=value)


def results_of_members(store: Store, group: GroupRecord) -> Iterator[JobResult]:
    """What became of the members that a group counts, in the order of their dispatch; page by page."""
    cursor: str | None = None
    while True:
        page = store.members(group.id, PAGE, cursor)
        counted: list[JobRecord] = [job for job in page.items if group.counts(job.generation)]
        kept = store.results([job.id for job in counted if job.state is JobState.SUCCESS])
        for job in counted:
            yield result_of(job, kept.get(job.id))
        cursor = page.cursor
        if cursor is None:
            return
