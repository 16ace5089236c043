"""Tells Celery's result backend of ends that Celery itself does not know."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.exceptions import TaskRevokedError, WorkerLostError

from celery_jobtrack.integration.kept import Kept
from celery_jobtrack.model.state import JobState, Reason

if TYPE_CHECKING:
    from celery import Celery

    from celery_jobtrack.model.job import JobRecord

logger = logging.getLogger(__name__)


def tell(app: Celery, job: JobRecord, message: bytes | None) -> None:
    """Write a job's end where ``AsyncResult`` and chords look, with its stored request.

    So a result that nobody would ever write does not hang, and a chord whose member was cancelled
    or lost ends. A backend that fails is logged: the store has the truth.
    """
    request = _request(job, message)
    task: Any = app.tasks.get(job.task)
    backend = _backend_of(app, job)
    ignore = (
        request.ignore_result if request.ignore_result is not None else getattr(task, "ignore_result", False)
    )
    try:
        if job.state is JobState.REVOKED:
            backend.mark_as_revoked(job.id, str(job.reason), request=request, store_result=not ignore)
        elif job.state is JobState.SKIPPED:
            # Celery's IGNORED is no end to whoever waits for a result.
            why = f"{job.reason}: job {job.blocked_by} was first" if job.blocked_by else str(job.reason)
            backend.mark_as_revoked(job.id, why, request=request, store_result=not ignore)
        elif job.state is JobState.FAILURE:
            backend.mark_as_failure(job.id, _exception(job), request=request, store_result=not ignore)
    except Exception:  # whatever the backend's client raises; the job has ended all the same
        logger.exception("the result backend could not be told that job %s ended as %s", job.id, job.state)


def forget(app: Celery, job: JobRecord) -> None:
    """Delete a job's result where ``AsyncResult`` looks.

    A backend that fails is logged: the store has forgotten the job by then, and nobody can ask again.
    """
    try:
        _backend_of(app, job).forget(job.id)
    except (NotImplementedError, FileNotFoundError):
        return  # it keeps nothing, or lets nothing be deleted; files of results that never were
    except Exception:  # whatever the backend's client raises
        logger.exception(
            "job %s is forgotten, but its result in the result backend is not: AsyncResult(id).forget() is",
            job.id,
        )


def _backend_of(app: Celery, job: JobRecord) -> Any:
    task: Any = app.tasks.get(job.task)
    return app.backend if task is None else task.backend


def _request(job: JobRecord, message: bytes | None) -> Context:
    if message is None:
        return Context({"id": job.id, "task": job.task, "retries": job.retries})
    kept = Kept(message)
    args, kwargs = kept.body[0], kept.body[1]
    return Context({**kept.headers, "args": args, "kwargs": kwargs, "delivery_info": {}}, **kept.embed)


def _exception(job: JobRecord) -> Exception:
    text = str(job.error) if job.error is not None else str(job.reason)
    if job.reason is Reason.WORKER_LOST:
        return WorkerLostError(text)
    if job.reason is Reason.CANCELLED:
        return TaskRevokedError(text)
    return RuntimeError(text)
