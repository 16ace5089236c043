"""What goes into the statements of plain cases, and what comes out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.strategies.sql.driver import binder, convert, loaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Dialect

    from celery_jobtrack.model.job import JobRecord, Progress
    from celery_jobtrack.model.lock import Claim
    from celery_jobtrack.model.requests import EnqueueRequest, FinishRequest, StartRequest
    from celery_jobtrack.strategies.sql.records import RecordMaps
    from celery_jobtrack.strategies.sql.schema import Schema


_PLURALS = {
    "task": "tasks",
    "queue": "queues",
    "root_id": "root_ids",
    "parent_id": "parent_ids",
    "eta": "etas",
    "expires_at": "expiries",
    "tags": "tag_lists",
    "args": "args",
    "kwargs": "kwargs",
}


class PlainValues:
    """Converts by the columns' own types, so that rows are the same whichever way they are written."""

    def __init__(self, schema: Schema, maps: RecordMaps, dialect: Dialect) -> None:
        def bind(column: Column[Any]) -> Any:
            return binder(column, dialect)

        jobs = schema.jobs.c
        self._records = maps.job
        self._loads = loaders(maps.job.columns, dialect)
        self._key, self._text, self._number = bind(jobs.id), bind(jobs.args), bind(jobs.progress_current)
        self._labels = bind(schema.tags.c.tag)
        names = ("task", "queue", "group_id", "root_id", "parent_id", "eta", "expires_at", "tags")
        self._origin = [(name, bind(jobs[name])) for name in (*names, "args", "kwargs")]
        self._origins = [(plural, name, bind(jobs[name])) for name, plural in _PLURALS.items()]

    def enqueue(self, request: EnqueueRequest) -> dict[str, Any]:
        origin = request.origin
        values: dict[str, Any] = {name: bind(getattr(origin, name)) for name, bind in self._origin}
        values["id"] = self._key(origin.job_id)
        values["priority"] = origin.priority
        values["retries"] = origin.retries
        values["max_retries"] = origin.max_retries
        values["run"] = origin.run
        values["message"] = request.message
        if origin.tags:
            values["labels"] = [self._labels(tag) for tag in dict.fromkeys(origin.tags)]
        if origin.claims:
            values.update(self._claim(origin.claims[0]))
        return values

    def enqueue_many(self, requests: Sequence[EnqueueRequest]) -> dict[str, Any]:
        origins = [request.origin for request in requests]
        values: dict[str, Any] = {
            plural: [bind(getattr(origin, name)) for origin in origins]
            for plural, name, bind in self._origins
        }
        ids = values["ids"] = [self._key(origin.job_id) for origin in origins]
        values["priorities"] = [origin.priority for origin in origins]
        values["retries"] = [origin.retries for origin in origins]
        values["max_retries"] = [origin.max_retries for origin in origins]
        values["runs"] = [origin.run for origin in origins]
        values["published"] = [request.published for request in requests]
        values["messages"] = [request.message for request in requests]
        if any(origin.claims for origin in origins):
            values["keyed"] = [bool(origin.claims) for origin in origins]
        labels = [
            (job_id, self._labels(tag))
            for job_id, origin in zip(ids, origins, strict=True)
            for tag in dict.fromkeys(origin.tags)
        ]
        values["labelled"] = [job_id for job_id, _ in labels]
        values["labels"] = [tag for _, tag in labels]
        values["group_id"] = None if origins[0].group_id is None else self._key(origins[0].group_id)
        return values

    def start(self, request: StartRequest) -> dict[str, Any]:
        origin, worker = request.origin, request.worker
        values = {
            "id": self._key(origin.job_id),
            "token": self._key(request.token),
            "worker_id": self._key(worker.id),
            "worker": self._text(worker.name),
            "pid": worker.pid,
            "retries": origin.retries,
            "run": origin.run,
            "reruns": request.reruns,
        }
        if origin.claims:
            values.update(self._claim(origin.claims[0]))
        return values

    def finish(self, request: FinishRequest) -> dict[str, Any]:
        error, claims = request.error, request.start.origin.claims
        values = {
            "id": self._key(request.start.origin.job_id),
            "token": self._key(request.start.token),
            "outcome": request.outcome.value,
            "reason": None if request.reason is None else request.reason.value,
            "error_type": None if error is None else self._text(error.type),
            "error_message": None if error is None else self._text(error.message),
            "error_traceback": None if error is None else self._text(error.traceback),
        }
        if claims:
            values["key"] = self._key(claims[0].key)
        return values

    def _claim(self, claim: Claim) -> dict[str, Any]:
        return {
            "key": self._key(claim.key),
            "limit": claim.limit,
            "across_retries": claim.across_retries,
        }

    def progress(self, job_id: str, token: str, progress: Progress) -> dict[str, Any]:
        return {
            "id": self._key(job_id),
            "token": self._key(token),
            "progress_current": self._number(progress.current),
            "progress_total": self._number(progress.total),
            "progress_text": self._text(progress.text),
        }

    def group(self, group_id: str) -> dict[str, Any]:
        return {"group_id": self._key(group_id)}

    def job(self, row: Sequence[Any]) -> JobRecord:
        """The job in a row that a statement returned."""
        return self._records.load(convert(row, self._loads))
