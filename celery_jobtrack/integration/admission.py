"""Every start asks the store, and every end tells it, in the process that runs the body."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from celery import states
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from celery_jobtrack.errors import GroupNotSet, StoreUnavailable
from celery_jobtrack.integration.claims import counts_starts, declares_claims, needs_the_store
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.origin import origin_of_request
from celery_jobtrack.integration.reruns import may_rerun
from celery_jobtrack.integration.returned import pack_result
from celery_jobtrack.integration.running import ATTRIBUTE, INNER, Running, running_of
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.model.requests import FinishRequest, Refusal, StartRequest
from celery_jobtrack.model.state import Outcome, Reason

if TYPE_CHECKING:
    from celery_jobtrack.model.answers import StartResult
    from celery_jobtrack.model.job import ErrorInfo

logger = logging.getLogger(__name__)

_SEEN = "_jobtrack_seen"


def admit(task: Any) -> None:
    """Ask whether the body may run; called before it, once per request.

    Raises:
        Ignore: It may not: the message is acknowledged, and nothing is written anywhere.
        GroupNotSet: The task must run in a group and its message names none.
    """
    request = task.request
    runtime = Runtime.of(task.app)
    if runtime is None or request.called_directly or vars(request).get(_SEEN) or not runtime.enabled:
        return
    if (request.headers or {}).get(INNER):
        return
    header = Header.of_request(request)
    if header is None and not runtime.tracks(task.name):
        return
    setattr(request, _SEEN, True)
    if header is None and declares_claims(task) and not request.is_eager:
        _send_again(task, request)
    running = _ask(runtime, task, request, header)
    setattr(request, ATTRIBUTE, running)
    if getattr(task, "writes_started", False):
        _write_started(task, request)
    origin = running.start.origin
    if getattr(task, "group_required", False) and origin.group_id is None and not origin.within:
        raise GroupNotSet(
            f"task {task.name} runs in a group only (group_required = True) and its message names none"
        )


def _send_again(task: Any, request: Any) -> None:
    """Send the job of a message that was published without us once more, and run nothing now.

    Only where it is published is it known which keys it claims, and is a message kept for one that has to
    wait for them.
    """
    task.signature_from_request(request, request.args, request.kwargs).apply_async()
    raise Ignore("sent again, with the keys that it claims")


def _ask(runtime: Runtime, task: Any, request: Any, header: Header | None) -> Running:
    start = StartRequest(
        origin=origin_of_request(runtime, task, request, header),
        token=os.urandom(16).hex(),
        worker=runtime.worker(),
        reruns=may_rerun(runtime.settings, task),
    )
    header = header or Header()
    result = _start(runtime, task, request, start, header)
    if result is None:
        return Running(runtime, start, header, None)
    if result.refusal is Refusal.PARKED or counts_starts(start.origin.claims):
        # It may be due soon; or the next one is, now that this one has started.
        runtime.look_at_the_time()
    if not result.admitted:
        logger.info("job %s (%s) is not run: %s", start.origin.job_id, task.name, result.refusal)
        raise Ignore(f"not run: {result.refusal}")
    return Running(runtime, start, header, result)


def _start(
    runtime: Runtime, task: Any, request: Any, start: StartRequest, header: Header
) -> StartResult | None:
    """What the store says; None when it is away and the body runs all the same.

    A message that comes a second time may be that of a job which is running or has run, and a key that the
    job claims may be another's, which only the store knows. So it waits for the store, or goes back.
    """
    if not needs_the_store(start.origin.claims) and not _is_second_message(request, start, header):
        return runtime.recorder.start(start)
    deadline = time.monotonic() + runtime.settings.store_wait
    while True:
        try:
            return runtime.tracker.start(start)
        except StoreUnavailable as error:
            if time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            job_id = start.origin.job_id
            why = "claims locks" if needs_the_store(start.origin.claims) else "came a second time"
            logger.warning("job %s %s and is not run while the store is away: %s", job_id, why, error)
            if task.acks_late:
                raise Reject(f"not run: {error}", requeue=True) from error
            # The job is recorded as queued, if it has not run: the checker publishes it again.
            raise Ignore(f"not run: {error}") from error


def _is_second_message(request: Any, start: StartRequest, header: Header) -> bool:
    if request.is_eager:
        return False
    # Also without acks_late: a pool child may begin before the main process has acknowledged.
    redelivered = not start.reruns and bool((request.delivery_info or {}).get("redelivered"))
    return header.copy > 0 or redelivered


def _write_started(task: Any, request: Any) -> None:
    """Celery's own STARTED, which Celery would write before asking us (see ``TrackedTask.bind``)."""
    ignore = request.ignore_result if request.ignore_result is not None else task.ignore_result
    if not request.is_eager and not ignore:
        meta = {"pid": os.getpid(), "hostname": request.hostname}
        task.backend.store_result(request.id, meta, states.STARTED, request=request)


def conclude(task: Any, state: str | None, retval: Any) -> None:
    """Tell how the body ended. Called after it, and after Celery has written its own result."""
    running = running_of(task)
    if running is None or running.closed:
        return
    ending = _ending(task, running, state, retval)
    if ending is None:
        return
    outcome, reason, error = ending
    running.closed = True
    _flush_progress(running)
    result = running.runtime.recorder.finish(
        FinishRequest(
            start=running.start,
            outcome=outcome,
            reason=reason,
            error=error,
            result=_kept_result(task, running, retval) if outcome is Outcome.SUCCESS else None,
        )
    )
    if result is not None and not result.applied:
        logger.warning(
            "job %s ended as %s, but this attempt had been closed before: the outcome is kept beside it",
            running.start.origin.job_id,
            outcome,
        )


def _kept_result(task: Any, running: Running, retval: Any) -> bytes | None:
    wanted = running.header.store_result
    if wanted is None:
        wanted = getattr(task, "store_result", False)
    return pack_result(running.runtime.settings, task, retval) if wanted else None


def _flush_progress(running: Running) -> None:
    try:
        running.flush_progress()
    except Exception:  # whatever it is, the end of the job must be recorded
        logger.exception("the last progress of job %s is not recorded", running.start.origin.job_id)


def _ending(
    task: Any, running: Running, state: str | None, retval: Any
) -> tuple[Outcome, Reason | None, ErrorInfo | None] | None:
    """What Celery's word for the end means; None when the main process will tell."""
    if state == states.SUCCESS:
        return Outcome.SUCCESS, None, None
    if state == states.FAILURE:
        timeout = isinstance(retval, SoftTimeLimitExceeded)
        return Outcome.FAILURE, Reason.TIMEOUT if timeout else Reason.ERROR, _described(retval)
    if state == states.RETRY:
        return Outcome.RETRY, None, _described(getattr(retval, "exc", None))
    if state == states.IGNORED:
        if running.replaced:
            return Outcome.REPLACED, None, None
        return Outcome.SKIPPED, Reason.IGNORED, None
    if state == states.REJECTED:
        # A message that was acknowledged before it ran cannot be given back.
        if getattr(retval, "requeue", False) and task.acks_late and not task.request.is_eager:
            return Outcome.REQUEUED, None, None
        return Outcome.FAILURE, Reason.REJECTED, _described(getattr(retval, "reason", None) or retval)
    failed = sys.exc_info()[1]
    if isinstance(failed, Exception):
        # The body raised, and then the result backend did: Celery tells nobody of either.
        return Outcome.FAILURE, Reason.ERROR, describe(failed.__context__ or failed)
    return None


def _described(error: Any) -> ErrorInfo | None:
    return describe(error) if isinstance(error, BaseException) else None
