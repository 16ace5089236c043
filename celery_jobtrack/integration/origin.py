"""What a message says of its job, read from headers on either side of the broker."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.levels import number_of
from celery_jobtrack.integration.shown import show
from celery_jobtrack.model.requests import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery_jobtrack.integration.runtime import Runtime


def origin_of_message(
    runtime: Runtime,
    task: str,
    headers: Mapping[str, Any],
    header: Header,
    *,
    body: Any,
    queue: str | None,
    priority: int | None,
) -> Origin:
    """From a message that is about to be published."""
    args, kwargs = show(runtime.settings, body[0], body[1], task=runtime.known_task(task))
    return Origin(
        job_id=headers["id"],
        task=task,
        queue=queue,
        priority=priority,
        args=args,
        kwargs=kwargs,
        tags=header.tags,
        group_id=header.group_id,
        part_of=header.part_of,
        retries=headers.get("retries") or 0,
        max_retries=header.max_retries,
        run=header.run,
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        eta=moment(headers.get("eta")),
        expires_at=moment(headers.get("expires")),
        within=header.within,
        callback_of=header.callback_of,
        claims=header.claims,
    )


def origin_of_request(runtime: Runtime, task: Any, request: Any, header: Header | None) -> Origin:
    """From a running task's request: enough to record a job that the store never heard of.

    A message with our header was published where jobs are recorded: there its arguments are known, and
    writing them out again for every start would cost a fifth of what a start costs.
    """
    delivery = request.delivery_info or {}
    args = kwargs = None
    if header is None:
        args, kwargs = show(runtime.settings, request.args or (), request.kwargs or {}, task=task)
        header = Header()
    return Origin(
        job_id=request.id,
        task=task.name,
        queue=delivery.get("routing_key"),
        priority=number_of(delivery.get("priority"), runtime.broker),
        args=args,
        kwargs=kwargs,
        tags=header.tags,
        group_id=header.group_id,
        part_of=header.part_of,
        retries=request.retries or 0,
        max_retries=header.max_retries,
        run=header.run,
        root_id=request.root_id,
        parent_id=request.parent_id,
        eta=moment(request.eta),
        expires_at=moment(request.expires),
        within=header.within,
        callback_of=header.callback_of,
        claims=header.claims,
    )


def moment(value: Any) -> datetime | None:
    """A time as messages carry it (ISO 8601, or a ``datetime``), aware and in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
