"""The levels among ``app.amqp.queues``: declared as Celery would, found by every name that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.integration.levels.numbers import MAX_PRIORITY

if TYPE_CHECKING:
    from celery_jobtrack.integration.levels.app_levels import AppLevels


def declare(levels: AppLevels, queues: Any) -> None:
    """Add the levels to the queues of an app. A queue that it has already is left as it is.

    Args:
        levels: The app's levels.
        queues: Celery's ``Queues``, as made from ``task_queues``.

    Raises:
        ConfigurationError: An alias is a queue of the app.
    """
    own = _named_by_the_app(levels.app)
    aliases = {alias for level in levels.levels.levels for alias in level.aliases}
    for alias in aliases & set(queues) - {levels.default_queue}:
        raise ConfigurationError(
            f"jobtrack_queues: the alias {alias!r} is a queue of task_queues already; leave one of them out"
        )
    made: list[Queue] = []
    if levels.share_one_queue:
        queues.select_add(_the_one_queue(levels))
    for level in levels.levels.levels:
        name = levels.queue_of(level)
        if levels.share_one_queue and name not in own:
            queue = _the_one_queue(levels, alias=level.name)
            names = {level.name, name, *level.aliases}
        else:
            if name not in queues:
                queues.select_add(_as_celery_would(levels, queues, name))
            queue = queues[name]
            names = {level.name, *level.aliases} - {name}
        made.append(queue)
        for each in names:
            queues.aliases[each] = queue
    # Celery holds them weakly there.
    queues.jobtrack_levels = made


def _named_by_the_app(app: Any) -> set[str]:
    given = app.conf.task_queues or ()
    return {getattr(queue, "name", queue) for queue in given}


def _as_celery_would(levels: AppLevels, queues: Any, name: str) -> Any:
    if name != levels.default_queue:
        return queues.new_missing(name)
    # With task_queues, Celery leaves out its default queue; without them it is made like this.
    return levels.app.amqp.Queues(None, levelled=False)[name]


def _the_one_queue(levels: AppLevels, alias: str | None = None) -> Queue:
    arguments = {"x-queue-type": "quorum"} if levels.is_quorum else {"x-max-priority": MAX_PRIORITY}
    name = levels.one_queue
    return Queue(name, Exchange(name, "direct"), name, queue_arguments=arguments, alias=alias)
