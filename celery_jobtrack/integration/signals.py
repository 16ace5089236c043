"""What Celery's signals mean to us: one table, one function per fact.

Signals observe and cannot refuse; what they raise is logged by Celery. Those marked *main* arrive
in the worker's main process, which writes only what a pool child cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Reject
from celery.worker import state as worker_state

from celery_jobtrack.integration.admission import conclude
from celery_jobtrack.integration.described import describe
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.origin import moment
from celery_jobtrack.integration.running import running_of
from celery_jobtrack.integration.runtime import Runtime
from celery_jobtrack.model.requests import Origin, SettleRequest
from celery_jobtrack.model.state import QUEUED, JobState, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery_jobtrack.model.job import ErrorInfo

UID = "celery_jobtrack"


def on_postrun(sender: Any = None, state: str | None = None, retval: Any = None, **_: Any) -> None:
    """A body has ended, in the process that ran it."""
    if Runtime.of(sender.app) is not None:
        conclude(sender, state, retval)


def on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    """*main*: a hard time limit, a lost pool child, a rejected message. In a child: told at postrun."""
    runtime = Runtime.of(sender.app)
    if runtime is None or running_of(sender) is not None or not _is_ours(runtime, sender, task_id):
        return
    settle_from_main(
        runtime, _origin(sender, task_id), JobState.FAILURE, _reason(exception), describe(exception)
    )


def on_revoked(
    sender: Any = None, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any
) -> None:
    """*main*: a job was revoked: in the queue, by its expiry, or by terminating its body."""
    runtime = Runtime.of(sender.app)
    if runtime is None or not _is_ours(runtime, sender, request.id):
        return
    reason = Reason.EXPIRED if expired else Reason.TERMINATED if terminated else Reason.CANCELLED
    # Its own headers: the latest message with this id may be that of a later run.
    origin = _origin(sender, request.id, vars(request))
    settle_from_main(runtime, origin, JobState.REVOKED, reason, None, close_open=terminated)


def on_unknown(sender: Any = None, message: Any = None, name: str = "", id: str = "", **_: Any) -> None:  # noqa: A002
    """*main*: a message for a task that this worker does not know."""
    runtime = Runtime.of(sender.app)
    header = None if runtime is None else Header.load(message.headers)
    if runtime is None or header is None or not runtime.enabled:
        return
    error = LookupError(
        f"worker {sender.hostname} knows no task {name!r}; import its module in the worker (imports, include)"
    )
    origin = _origin_of_headers(id, name, message.headers, header)
    settle_from_main(
        runtime, origin, JobState.FAILURE, Reason.UNKNOWN_TASK, describe(error), only_from=QUEUED
    )


def on_rejected(sender: Any = None, message: Any = None, exc: Any = None, **_: Any) -> None:
    """*main*: a message that names a task but is not a valid one."""
    headers: Mapping[str, Any] = (message.headers if message is not None else None) or {}
    runtime = Runtime.of(sender.app)
    header = None if runtime is None else Header.load(headers)
    if runtime is None or header is None or exc is None or "id" not in headers or not runtime.enabled:
        return
    origin = _origin_of_headers(headers["id"], headers.get("task", "?"), headers, header)
    settle_from_main(runtime, origin, JobState.FAILURE, Reason.REJECTED, describe(exc), only_from=QUEUED)


TABLE: tuple[tuple[Any, Callable[..., None]], ...] = (
    (signals.task_postrun, on_postrun),
    (signals.task_failure, on_failure),
    (signals.task_revoked, on_revoked),
    (signals.task_unknown, on_unknown),
    (signals.task_rejected, on_rejected),
)


def connect() -> None:
    """Connect the table; again is the same as once. Receivers find the app's runtime, if it has one."""
    for signal, receiver in TABLE:
        signal.connect(receiver, weak=False, dispatch_uid=f"{UID}.{receiver.__name__}")


def _is_ours(runtime: Runtime, task: Any, job_id: str) -> bool:
    if not runtime.enabled:
        return False
    request = _request(job_id)
    return runtime.tracks(task.name) or (request is not None and Header.load(request) is not None)


def _request(job_id: str) -> Mapping[str, Any] | None:
    found = worker_state.requests.get(job_id)
    return None if found is None else found.request_dict


def _origin(task: Any, job_id: str, headers: Mapping[str, Any] | None = None) -> Origin:
    """What the message says: these headers of it, or those of the latest one with this id."""
    if headers is None or KEY not in headers:
        headers = _request(job_id)
    if headers is None:
        header = Header.of_request(task.request) or Header()
        return Origin(job_id=job_id, task=task.name, retries=task.request.retries or 0, run=header.run)
    return _origin_of_headers(job_id, task.name, headers, Header.load(headers) or Header())


def _origin_of_headers(job_id: str, task: str, headers: Mapping[str, Any], header: Header) -> Origin:
    return Origin(
        job_id=job_id,
        task=task,
        tags=header.tags,
        group_id=header.group_id,
        part_of=header.part_of,
        retries=headers.get("retries") or 0,
        run=header.run,
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        eta=moment(headers.get("eta")),
        expires_at=moment(headers.get("expires")),
        within=header.within,
        callback_of=header.callback_of,
    )


def settle_from_main(
    runtime: Runtime,
    origin: Origin,
    state: JobState,
    reason: Reason,
    error: ErrorInfo | None,
    *,
    only_from: frozenset[JobState] = QUEUED | {JobState.WAITING},
    close_open: bool = True,
) -> None:
    """End a job from the worker's main process; an attempt that this worker has open goes with it."""
    worker_id = runtime.identity.worker().id if close_open and runtime.identity.is_set else None
    request = SettleRequest(
        origin=origin,
        state=state,
        reason=reason,
        error=error,
        only_from=only_from,
        worker_id=worker_id,
        outcome=Outcome.LOST if reason is Reason.WORKER_LOST else None,
        run=origin.run,
    )
    runtime.apart(lambda: runtime.recorder.settle(request, tell=False))


def _reason(exception: Any) -> Reason:
    if isinstance(exception, (TimeLimitExceeded, SoftTimeLimitExceeded)):
        return Reason.TIMEOUT
    if isinstance(exception, WorkerLostError):
        return Reason.WORKER_LOST
    if isinstance(exception, Reject):
        return Reason.REJECTED
    return Reason.ERROR
