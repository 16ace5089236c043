"""At a worker's start: what of its settings would defeat the levels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.levels.broker import Broker, transport_of
from celery_jobtrack.transport.order import QueueOrder
from celery_jobtrack.transport.ordered import OPTION, can_be_ordered
from celery_jobtrack.transport.ordered import ordered as made_ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.levels.app_levels import AppLevels

logger = logging.getLogger(__name__)


def begin_work(levels: AppLevels, worker: Any) -> None:
    """Have a starting worker consume what was sent before there were levels, and warn of what it is set to.

    Args:
        levels: The app's levels.
        worker: Celery's, with its queues selected.
    """
    queues = levels.app.amqp.queues
    names = [queue.name for queue in queues.consume_from.values()]
    if set(names) != set(queues.consume_from):
        # Before Celery 5.7 a queue is selected under each name that -Q has for it, and consumed so often.
        queues.select(list(dict.fromkeys(names)))
    default = dict.get(queues, levels.default_queue)
    if levels.share_one_queue and levels.one_queue in queues.consume_from and default is not None:
        # Selected with -Q by the level's name, which means the queue of all levels now.
        queues.select_add(default)
    for warning in warnings_of(levels, worker):
        logger.warning("jobtrack_queues: %s", warning)


def warnings_of(levels: AppLevels, worker: Any) -> Iterator[str]:
    """What would defeat the levels in this worker, each with what to set."""
    yield from _of_prefetching(levels, worker)
    yield from _of_selection(levels)
    if levels.broker is Broker.RABBITMQ:
        yield from _of_rabbitmq(levels)
    else:
        yield from _of_order(levels)


def _of_prefetching(levels: AppLevels, worker: Any) -> Iterator[str]:
    multiplier = getattr(worker, "prefetch_multiplier", None)
    if multiplier == 1 or levels.app.conf.get("worker_disable_prefetch"):
        return
    taken = f"{multiplier} jobs for each of its processes" if multiplier else "any number of jobs"
    yield (
        f"this worker fetches {taken} ahead (worker_prefetch_multiplier = {multiplier}), and what is fetched "
        f"goes before every level; set worker_prefetch_multiplier = 1"
    )


def _of_selection(levels: AppLevels) -> Iterator[str]:
    consumed = levels.consumed(levels.app.amqp.queues)
    missing = [level.name for level in levels.levels.levels if level.name not in consumed]
    if missing:
        yield (
            f"this worker does not consume {', '.join(map(repr, missing))} (-Q or -X): between workers with "
            f"different levels there is no order, and some worker has to consume each"
        )
    if levels.default_queue not in levels.queues:
        yield (
            f"jobs that name no level go to {levels.default_queue!r} (task_default_queue), which is none and "
            f"comes last; add a level 'default', which means that queue"
        )


def _of_rabbitmq(levels: AppLevels) -> Iterator[str]:
    if levels.levels.is_weighted:
        yield (
            "RabbitMQ hands out the messages of several queues in equal turns, so weights have no effect "
            "there; without weights the order of levels is strict"
        )
        return
    queues = levels.app.amqp.queues
    apart = [level.name for level in levels.levels.levels if queues[level.name].name != levels.one_queue]
    if apart:
        yield (
            f"{', '.join(map(repr, apart))} is declared in task_queues and stays a queue of its own, "
            f"which RabbitMQ does not order with the others; take it out of task_queues once it is empty"
        )
    if levels.is_quorum:
        yield (
            "quorum queues keep no strict order of levels, nor of numbers: since RabbitMQ 4.0 the first "
            "level is preferred, before that none is; task_default_queue_type = 'classic' makes it strict"
        )


def _of_order(levels: AppLevels) -> Iterator[str]:
    given = levels.app.conf.broker_transport_options or {}
    order = given.get(OPTION)
    if order is not None and not isinstance(order, QueueOrder):
        yield (
            f"{OPTION} = {order!r} in broker_transport_options decides in which order queues are taken from, "
            f"and knows nothing of levels; take it out"
        )
    steps = given.get("priority_steps")
    if levels.broker is Broker.REDIS and steps is not None and 0 not in list(steps)[:1]:
        yield (
            f"priority_steps = {steps!r} in broker_transport_options does not begin with 0, so a high number "
            f"of a low level goes before a low number of a high one; begin it with 0"
        )
    transport = transport_of(levels.app)
    if levels.broker is Broker.OTHER and not can_be_ordered(made_ordered(transport)):
        yield f"the transport {transport.__module__} takes from its queues in an order of its own"
