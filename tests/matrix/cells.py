"""The axes of the matrix, and which of its cells are tried."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BROKERS = ("filesystem", "redis", "rabbitmq")
STORES = ("sqlite", "postgresql", "redis")
POOLS = ("prefork", "threads", "solo", "gevent")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination. The Celery is that of the environment that the tests run in."""

    broker: str
    store: str
    pool: str

    def __str__(self) -> str:
        return "-".join(astuple(self))

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Each two of its values that meet here, with the names of their axes."""
        named = [f"{axis}={value}" for axis, value in vars(self).items()]
        return frozenset(combinations(named, 2))


def every_cell() -> list[Cell]:
    """The full product."""
    return [
        Cell(broker=broker, store=store, pool=pool) for broker, store, pool in product(BROKERS, STORES, POOLS)
    ]


def pairwise(cells: Sequence[Cell]) -> list[Cell]:
    """A few of ``cells`` in which every pair of values still meets; the same ones each time.

    Greedy: the next is always the one with the most pairs that have not met yet, the first of equals.
    """
    chosen = []
    missing = frozenset().union(*(cell.pairs() for cell in cells))
    while missing:
        best = max(cells, key=lambda cell: len(cell.pairs() & missing))
        chosen.append(best)
        missing -= best.pairs()
    return chosen
