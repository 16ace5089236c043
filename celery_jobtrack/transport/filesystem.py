"""A broker made of files: kombu's file-system transport, made safe for many processes at once.

    app.conf.broker_url = "filesystem:///jobs"
    app.conf.broker_transport = "celery_jobtrack.transport.filesystem:Transport"

The path of the URL names the folder (three slashes: relative to the working directory, four: absolute);
`broker_transport_options={"folder": …}` does the same. All processes of an app must use this transport:
kombu's own `filesystem://` writes other files and sees none of these.

What kombu's gets wrong under load and this one does not: a message is seen only when it is complete;
of several consumers one gets it; a damaged one is moved to `messages/rejected` and logged, the worker
lives; queues are folders, so names cannot mix or escape, and a look into one queue costs nothing for the
others; bindings made at the same time are all kept; queues are first in, first out over all processes of
a machine; a message put back returns to its queue, in its old place, marked `redelivered`.

What it is not: a message's file is deleted when a worker fetches it, with `acks_late` too. A worker that
stops puts back what it has not finished; one that is killed takes it along. Nothing is synced to disk, so
a power cut can take the last seconds. The `expires` and `message_ttl` of a queue are ignored, as by kombu's
transport (Celery's own `expires` of a task works). It wants a local disk.

Messages have priorities from 0, which those have that were given none, to 9, which goes first.

Transport options, beside kombu's `polling_interval` (0.05 s here), `store_processed`, `processed_folder`:

* `folder`: holds all of the below.
* `data_folder_in`, `data_folder_out`: messages read and written, `folder/messages`.
* `control_folder`: binding tables, `folder/control`.
* `queue_order_strategy`: as kombu's Redis transport has it; by default queues take turns.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from queue import Empty
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.exceptions import ChannelError
from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps, loads

from celery_jobtrack.transport.bindings import Binding, BindingTable
from celery_jobtrack.transport.folders import Folders, safe_name
from celery_jobtrack.transport.numbered_queue import NumberedQueue
from celery_jobtrack.transport.ordered import OPTION, Ordered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The first pause of a consumer whose prefetch is full, in seconds; it doubles up to the polling interval.
FIRST_PAUSE = 0.001

#: Where a payload remembers, between being taken and becoming a message, where it came from.
_ORIGIN = "jobtrack-origin"


class PlacedMessage(virtual.Message):
    """A message that knows its place, so that it can be put back there and nowhere else."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel=channel, **kwargs)
        #: The queue it was taken from, and its name there.
        self.origin: tuple[str, str] = payload[_ORIGIN]


class Channel(Ordered, filesystem.Channel):
    """A channel over a tree of folders, one for each queue."""

    Message = PlacedMessage
    from_transport_options = (*filesystem.Channel.from_transport_options, OPTION)

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._folders = connection.folders
        # Kept for those consumed from: each works through its last scan before it looks again.
        self._consumed: dict[str, NumberedQueue] = {}

    def get_table(self, exchange: str) -> list[Binding]:  # type: ignore[override] # kombu's own is, too
        """Return the bindings of an exchange, newest first."""
        with _explained(f"Cannot read the bindings of exchange {exchange!r}"):
            table = self._table(exchange).read()
        if table is not None:
            return table
        # Somebody emptied the control folder. kombu declares a queue once per connection, so without
        # this every message to a named exchange would silently go nowhere until a restart.
        known = [
            self._bound(queue, exchange, routing_key, arguments)
            for (queue, source, routing_key), arguments in list((self.state.bindings or {}).items())
            if source == exchange
        ]
        if known:
            self._table(exchange).add(*known)
        return known

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Any = None,
        **kwargs: Any,
    ) -> None:
        """Unbind a queue; kombu changes a copy of the table only."""
        exchange = exchange or "amq.direct"  # As in `queue_bind`.
        super().queue_unbind(queue, exchange, routing_key, arguments, **kwargs)
        self._table(exchange).discard(self._bound(queue, exchange, routing_key, arguments))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        with _explained(f"Cannot bind queue {queue!r} to exchange {exchange!r}"):
            self._table(exchange).add(_binding(routing_key, pattern, queue))

    def _put(self, queue: str, payload: dict[str, Any], **_kwargs: Any) -> None:  # type: ignore[override] # kombu's, too
        with _explained(f"Cannot put a message into queue {queue!r}"):
            folder = self._folder(self._folders.outgoing, queue)
            folder.put(dumps(payload).encode(), priority=self._get_message_priority(payload))

    def _put_fanout(self, exchange: str, payload: dict[str, Any], routing_key: str, **kwargs: Any) -> None:  # noqa: ARG002
        # A queue bound under several keys still gets one copy.
        for queue in dict.fromkeys(binding.queue for binding in self.get_table(exchange)):
            self._put(queue, payload, **kwargs)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        with _explained(f"Cannot take a message from queue {queue!r}"):
            taken = self._incoming(queue).take(self._decode)
        if taken is None:
            raise Empty
        name, payload = taken
        payload[_ORIGIN] = queue, name
        return payload

    def _restore(self, message: PlacedMessage) -> None:
        """Put a message back into the queue it came from; kombu sends it through its exchange again.

        That would copy it to every queue bound there, and put the messages of a stopping worker back
        in reverse.
        """
        queue, name = message.origin
        payload = message.serializable()
        payload["redelivered"] = payload["properties"]["delivery_info"]["redelivered"] = True
        with _explained(f"Cannot put a message back into queue {queue!r}"):
            priority = self._get_message_priority(payload)
            self._incoming(queue).put(dumps(payload).encode(), priority=priority, name=name)

    def _size(self, queue: str) -> int:
        return self._incoming(queue).size()

    def _purge(self, queue: str) -> int:
        with _explained(f"Cannot purge queue {queue!r}"):
            return self._incoming(queue).purge()

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str | None, *_args: Any, **_kwargs: Any
    ) -> None:
        # Unbound first, or a publisher could fill it again behind the purge.
        with _explained(f"Cannot delete queue {queue!r}"):
            self._table(exchange).discard(_binding(routing_key, pattern, queue))
            self._incoming(queue).purge()
            self._incoming(queue).remove()
            del self._consumed[queue]

    def _decode(self, data: bytes) -> dict[str, Any]:
        """Make a payload of a file, or raise ValueError where a consumer would stumble over it later."""
        try:
            payload: dict[str, Any] = loads(data)
            properties = payload["properties"]
            if not isinstance(properties["delivery_info"], dict) or not properties["delivery_tag"]:
                raise ValueError("it has no delivery information")
            if body := payload.get("body"):
                self.decode_body(body, properties.get("body_encoding"))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no message of this transport: {error!r}") from error
        return payload

    def _bound(self, queue: str, exchange: str, routing_key: str, arguments: Any) -> Binding:
        meta: Any = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
        return _binding(*meta)

    def _table(self, exchange: str) -> BindingTable:
        return BindingTable(self._folders.control, exchange)

    def _incoming(self, queue: str) -> NumberedQueue:
        if queue not in self._consumed:
            self._consumed[queue] = self._folder(self._folders.incoming, queue)
        return self._consumed[queue]

    def _folder(self, root: Path, queue: str) -> NumberedQueue:
        # With their suffixes the folders of queues and that of the rejected messages cannot be confused.
        rejected, processed = root / "rejected", self._folders.processed
        return NumberedQueue(root, safe_name(queue), rejected=rejected, processed=processed)


class Transport(filesystem.Transport):
    """The transport to name in `broker_transport`."""

    Channel = Channel
    polling_interval = 0.05

    # Declarations are shared between the connections of a process, as in kombu, but only between those
    # to the same broker: two apps in one process must not take each other's bindings for their own.
    _states: ClassVar[dict[Path, virtual.BrokerState]] = {}

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self._pause = FIRST_PAUSE
        self.folders = Folders.from_options(client.transport_options, client.virtual_host)
        # One call of `setdefault`: two threads that connect at once get the same state.
        self.state = self._states.setdefault(self.folders.control, virtual.BrokerState())

    def drain_events(
        self,
        connection: Any,  # noqa: ARG002 - part of kombu's signature
        timeout: float | None = None,
        **_kwargs: Any,
    ) -> None:
        """Deliver one message, waiting for it up to `timeout` seconds.

        kombu waits a whole polling interval when the prefetch is full, too, and so hands a worker one
        prefetch per interval: 320 jobs/s with 4 processes. A job's end is waited for in small steps, and
        after each the caller has its turn: up to Celery 5.6 it acknowledges jobs between two calls only, so
        that a worker with a prefetch of one job would run one in each two seconds.

        Raises:
            TimeoutError: No message came in time, or none can come before one is acknowledged.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        interval = self.polling_interval or 0.0
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)  # type: ignore[union-attr] # made with the transport
            except Empty:
                left = interval if ends is None else ends - time.monotonic()
                if left <= 0 and ends is not None:
                    raise TimeoutError from None
                if not self._is_full():
                    time.sleep(min(interval, left))
                    continue
                time.sleep(min(self._pause, left))
                self._pause = min(self._pause * 2, interval)
                if ends is not None:
                    raise TimeoutError from None
            else:
                self._pause = min(FIRST_PAUSE, interval)
                return

    def _is_full(self) -> bool:
        return any(c._consumers and not c.qos.can_consume() for c in self.channels or ())  # noqa: SLF001


def _binding(routing_key: str | None, pattern: str | None, queue: str | None) -> Binding:
    return Binding(routing_key or "", pattern or "", queue or "")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn an error of the file system into one that kombu's callers expect."""
    try:
        yield
    except OSError as error:
        raise ChannelError(f"{what}: {error}. Check the folder's permissions and free space.") from error
