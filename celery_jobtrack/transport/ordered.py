"""kombu's transports without a server that pushes, made to take from their queues in a given order.

Such a channel looks into its queues in turn (`FairCycle`). With the transport option
`queue_order_strategy`, which kombu knows for Redis only, it looks where that strategy says.
"""

from __future__ import annotations

from functools import lru_cache
from queue import Empty
from typing import TYPE_CHECKING, Any, cast

from kombu.transport import virtual
from kombu.utils.scheduling import FairCycle, cycle_by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_jobtrack.transport.order import Cycle

OPTION = "queue_order_strategy"


class Ordered(virtual.Channel):
    """A channel that takes from its queues in the order of a strategy; without one, as kombu does.

    To be mixed in before the channel of a transport.
    """

    queue_order_strategy: Any = None
    _order: Cycle | None = None

    def _reset_cycle(self) -> None:
        if self.queue_order_strategy is None:
            super()._reset_cycle()
            return
        if self._order is None:
            # Kept when queues come and go, so that nobody loses his turn.
            made: Any = cycle_by_name(self.queue_order_strategy)
            self._order = made()
        order = cast("Cycle", self._order)
        order.update(self._active_queues)
        self._cycle = OrderedCycle(self._get_and_deliver, self._active_queues, order)


class OrderedCycle(FairCycle):
    """Takes one message from the first queue, in the order of the moment, that has one."""

    def __init__(self, fun: Callable[..., Any], resources: Any, order: Cycle) -> None:
        super().__init__(fun, resources, Empty)
        self._order = order

    def get(self, callback: Any, **kwargs: Any) -> Any:
        """Deliver one message. Raises Empty when no queue has one."""
        for queue in self._order.consume(len(self.resources)):
            try:
                delivered = self.fun(queue, callback, **kwargs)
            except Empty:
                continue
            self._order.rotate(queue)
            return delivered
        raise Empty


def can_be_ordered(transport: Any) -> bool:
    """Whether the channels of a transport look into their queues as kombu's base does."""
    channel = getattr(transport, "Channel", None)
    return (
        isinstance(channel, type)
        and issubclass(channel, virtual.Channel)
        and not hasattr(channel, "_get_many")
        and (issubclass(channel, Ordered) or channel._reset_cycle is virtual.Channel._reset_cycle)  # noqa: SLF001
    )


@lru_cache(maxsize=64)
def ordered(transport: Any) -> Any:
    """The same transport, with channels that know the option; as it is where that cannot be."""
    if not can_be_ordered(transport) or issubclass(transport.Channel, Ordered) or _has_it(transport.Channel):
        return transport
    channel = transport.Channel
    options = (*channel.from_transport_options, OPTION)
    known = type(channel.__name__, (Ordered, channel), {"from_transport_options": options})
    return type(transport.__name__, (transport,), {"Channel": known})


def _has_it(channel: Any) -> bool:
    return OPTION in channel.from_transport_options
