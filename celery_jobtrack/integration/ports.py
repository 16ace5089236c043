"""Celery, as tracking sees it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration import backend
from celery_jobtrack.integration.depths import depths, ready
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.integration.kept import Kept
from celery_jobtrack.integration.retentions import retentions_of
from celery_jobtrack.integration.signatures import send_callback
from celery_jobtrack.model.requests import AD_HOC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.group import GroupRecord
    from celery_jobtrack.model.job import JobRecord
    from celery_jobtrack.model.queue import QueueDepth
    from celery_jobtrack.model.retention import Retentions
    from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy

logger = logging.getLogger(__name__)

DELIVER = "celery_jobtrack.deliver"
CHECK = "celery_jobtrack.check"
ANSWER_SECONDS = 3.0
"""How long workers are waited for that are asked something. The file system as broker takes two seconds to
bring a question and its answer. Others need less; nobody waits on when all that are known have answered."""


class CeleryPorts:
    """The ports of ``tracking`` over one app."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def sender(self) -> Any:
        return self._runtime.sender

    @property
    def namespace(self) -> str:
        return self._runtime.settings.namespace

    def strategies_for(self, task: str) -> Iterable[TrackingStrategy]:
        return self._runtime.strategies_for(task)

    def retentions(self) -> Retentions:
        return retentions_of(self._runtime.app, self._runtime.settings)

    def group_for(self, record: GroupRecord) -> Any:
        return self._runtime.group_for(record)

    def delivers_here(self) -> bool:
        return self._runtime.delivers_here()

    def request_delivery(self) -> None:
        try:
            deliver = self._runtime.app.tasks[DELIVER]
            deliver.apply_async(expires=60, ignore_result=True, queue=self._queue_consumed_here())
        except Exception:  # noqa: BLE001 - the event is recorded; the checker asks again
            logger.warning("the broker took no request to deliver events; the checker will ask again")

    def _queue_consumed_here(self) -> str | None:
        """A queue that this worker consumes, or None where the default one is right.

        A worker started with ``-Q`` may not consume the default queue, and be the only one there is. Where
        there are levels, deliveries are not kept waiting by them.
        """
        amqp = self._runtime.app.amqp
        consumed = amqp.queues.consume_from
        levels = self._runtime.levels
        if levels is not None and (here := levels.consumed(amqp.queues)):
            return here[0]
        return None if not consumed or amqp.default_queue.name in consumed else str(next(iter(consumed)))

    def nothing_kept(self) -> bool:
        return self._runtime.recorder.has_nothing_kept()

    def publish_again(self, job: JobRecord, message: bytes) -> None:
        kept = Kept(message)
        header = Header.load(kept.headers) or Header()
        # The run is the job's: two who redrive a job at once may have kept the message of either.
        kept.headers[KEY] = replace(header, run=job.run, copy=job.copies + job.attempts + 1).dump()
        app = self._runtime.app
        with app.producer_or_acquire() as producer:
            app.amqp.send_untracked(producer, kept.task, kept.message(), **kept.options)

    def publish_callback(self, group: GroupRecord, callback: Callback, job_id: str, *, run: int = 1) -> None:
        send_callback(self._runtime, group, callback, job_id, run=run)

    def followers(self, message: bytes) -> tuple[str, ...]:
        return Kept(message).followers()

    def queue_is_empty(self, queue: str) -> bool | None:
        depth = self.queue_depth(queue)
        return None if depth is None else depth == 0

    def queue_depth(self, queue: str) -> int | None:
        with self._runtime.app.connection_for_read() as connection:
            try:
                _ = connection.default_channel
                return ready(connection, queue)
            except connection.connection_errors:
                return None

    def queue_depths(self, queues: Iterable[str]) -> Mapping[str, QueueDepth]:
        return depths(self._runtime.app, queues)

    def declared_queues(self) -> Iterable[str]:
        return tuple(self._runtime.app.amqp.queues)

    def levels_by_queue(self) -> Mapping[str, tuple[str, ...]]:
        levels, queues = self._runtime.levels, self._runtime.app.amqp.queues
        found: dict[str, tuple[str, ...]] = {}
        for level in () if levels is None else levels.levels.levels:
            queue = queues[level.name].name
            found[queue] = (*found.get(queue, ()), level.name)
        return found

    def consumed_queues(self) -> Mapping[str, frozenset[str]]:
        answers = self._asking_workers().active_queues() or {}
        return {worker: frozenset(queue["name"] for queue in queues) for worker, queues in answers.items()}

    def held_by_workers(self) -> frozenset[str]:
        inspect = self._asking_workers()
        held: set[str] = set()
        for ask in (inspect.reserved, inspect.scheduled):
            for requests in (ask() or {}).values():
                held.update(str((each.get("request") or each).get("id")) for each in requests)
        return frozenset(held)

    def _asking_workers(self) -> Any:
        names = {worker.name for worker in self._runtime.store.workers()}
        known = sum(not name.startswith(AD_HOC) for name in names)
        return self._runtime.app.control.inspect(timeout=ANSWER_SECONDS, limit=known or None)

    def tell_backend(self, job: JobRecord, message: bytes | None) -> None:
        backend.tell(self._runtime.app, job, message)
