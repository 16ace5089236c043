"""In which order a worker takes from its queues: what kombu calls a queue order strategy.

Named in the transport option `queue_order_strategy`, which kombu's Redis transport reads, and ours
(`ordered`) for every other one without a server that pushes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Cycle(Protocol):
    """What kombu asks, for each message, from which queue it is to come."""

    def update(self, it: Iterable[str]) -> None:
        """Take from these queues from now on."""

    def consume(self, n: int) -> Iterable[str]:
        """Give the queues in the order in which to look for a message."""

    def rotate(self, last_used: str) -> str:
        """Hear that the message came from this queue: those before it in the order had none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisKeys:
    """How kombu's Redis transport names the lists of one queue, one list for each step of priority."""

    steps: tuple[int, ...]
    sep: str

    def of(self, queue: str) -> list[str]:
        """The lists of a queue; what is in the first goes first."""
        return [f"{queue}{self.sep}{step}" if step else queue for step in self.steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOrder:
    """An order of queues; calling it gives the cycle of one channel. It can be pickled and compared.

    Args:
        queues: The queues that have a place each, the first first.
        others: The place of every other queue: that of one of these, as its index, or the next one.
        weights: The shares of the queues of each place, instead of a strict order.
        keys: For Redis, so that every message of a queue goes before any of the next one.
    """

    queues: tuple[str, ...]
    others: int
    weights: tuple[float, ...] | None = None
    keys: RedisKeys | None = None

    def __call__(self) -> Cycle:
        """Make the cycle of one channel."""
        cycle = StrictCycle(self) if self.weights is None else SharingCycle(self, self.weights)
        return cycle if self.keys is None else KeyCycle(cycle, self.keys)

    def place_of(self, queue: str) -> int:
        """The place of a queue."""
        return self.queues.index(queue) if queue in self.queues else self.others


class StrictCycle:
    """All of the first place, then all of the second; queues of one place take turns."""

    def __init__(self, order: QueueOrder) -> None:
        self._order = order
        self._queues: list[str] = []

    def update(self, it: Iterable[str]) -> None:
        """Take from these queues from now on."""
        self._queues = list(dict.fromkeys(it))

    def consume(self, n: int) -> Sequence[str]:
        """Give them in order."""
        return sorted(self._queues, key=self._order.place_of)[:n]

    def rotate(self, last_used: str) -> str:
        """Let the others of its place go before it."""
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used


class SharingCycle:
    """Each queue gets its share of the turns, evenly spread, as long as it has messages.

    Stride scheduling: a queue's next turn is due ``1 / weight`` after its last one. One that had no message
    when its turn came does not save up its turns.
    """

    def __init__(self, order: QueueOrder, weights: Sequence[float]) -> None:
        self._order = order
        self._weights = weights
        self._due: dict[str, float] = {}
        self._now = 0.0

    def update(self, it: Iterable[str]) -> None:
        """Take from these queues from now on; those known keep their turn."""
        self._due = {queue: self._due.get(queue, self._now + self._stride(queue)) for queue in it}

    def consume(self, n: int) -> Sequence[str]:
        """Give them as they are due."""
        return sorted(self._due, key=self._due.__getitem__)[:n]

    def rotate(self, last_used: str) -> str:
        """Count a turn."""
        if last_used in self._due:
            self._now = max(self._now, self._due[last_used])
            for queue, due in self._due.items():
                # Sooner than the one that had a message: it was looked at in vain.
                self._due[queue] = max(due, self._now)
            self._due[last_used] = self._now + self._stride(last_used)
        return last_used

    def _stride(self, queue: str) -> float:
        return 1.0 / self._weights[self._order.place_of(queue)]


class KeyCycle:
    """Gives kombu's Redis channel the lists of the queues, instead of the queues.

    The channel asks Redis for ``[list(queue, step) for step in steps for queue in queues]``: the highest
    step of the last queue would go before the second step of the first. What is given here can be gone
    through once, so the channel has nothing left for its second step; to its first, 0, a list's name is as
    good as a queue's.
    """

    def __init__(self, cycle: Cycle, keys: RedisKeys) -> None:
        self._cycle = cycle
        self._keys = keys

    def update(self, it: Iterable[str]) -> None:
        """Take from these queues from now on."""
        self._cycle.update(it)

    def consume(self, n: int) -> Iterable[str]:
        """Give their lists, in order."""
        keys = [key for queue in self._cycle.consume(n) for key in self._keys.of(queue)]
        # The channel asks whether there is anything at all, and an iterator is always true.
        return iter(keys) if keys else ()

    def rotate(self, last_used: str) -> str:
        """Hear of a queue; the channel has cut the step from the name of the list."""
        return self._cycle.rotate(last_used)
