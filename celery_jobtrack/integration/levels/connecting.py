"""Connections whose channels take from the levels in their order."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.levels.broker import Broker, transport_of
from celery_jobtrack.integration.levels.numbers import HIGHEST
from celery_jobtrack.model.levels import DEFAULT
from celery_jobtrack.transport.order import QueueOrder, RedisKeys
from celery_jobtrack.transport.ordered import OPTION, ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery_jobtrack.integration.levels.app_levels import AppLevels


def connecting(levels: AppLevels, base: type) -> Callable[..., Any]:
    """What makes the connections of an app, given the class that Celery would use."""
    kind = _ordering(base)

    def connect(*args: Any, transport_options: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        options = {**options_for(levels, transport_options or {}), **(transport_options or {})}
        return kind(*args, transport_options=options, **kwargs)

    return connect


def options_for(levels: AppLevels, given: Mapping[str, Any]) -> dict[str, Any]:
    """The transport options that put the levels in order; those that are set go before them."""
    if levels.broker is Broker.RABBITMQ:
        return {}
    order = _order(levels)
    if levels.broker is not Broker.REDIS:
        return {OPTION: order}
    # A list for each number, where kombu has one for three.
    steps = given.get("priority_steps", list(range(HIGHEST + 1)))
    keys = None
    if steps and steps[0] == 0:
        sep = given.get("sep", transport_of(levels.app).Channel.sep)
        keys = RedisKeys(steps=tuple(steps), sep=sep)
    order = QueueOrder(queues=order.queues, others=order.others, weights=order.weights, keys=keys)
    return {OPTION: order, "priority_steps": steps}


def _order(levels: AppLevels) -> QueueOrder:
    """Queues that are no level go beside the default one, or last where there is none."""
    names = [level.name for level in levels.levels.levels]
    others = names.index(DEFAULT) if DEFAULT in names else len(names)
    weights = None
    if levels.levels.is_weighted:
        given = [level.weight or 1.0 for level in levels.levels.levels]
        weights = (*given, min(given))
    return QueueOrder(queues=levels.queues, others=others, weights=weights)


@lru_cache(maxsize=16)
def _ordering(base: Any) -> Any:
    """The same class of connections, over transports that know the option."""

    class Ordering(base):  # type: ignore[misc] # any class of connections
        def get_transport_cls(self) -> Any:
            return ordered(super().get_transport_cls())

    Ordering.__name__ = Ordering.__qualname__ = base.__name__
    return Ordering
