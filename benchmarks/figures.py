"""Medians and their spread, of figures that are compared within the same round."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    def dump(self) -> dict[str, float]:
        """For JSON, to four digits."""
        return {name: float(f"{value:.4g}") for name, value in asdict(self).items()}


def figure(values: Sequence[float]) -> Figure:
    """The median and the quartiles of at least one value."""
    if len(values) == 1:
        return Figure(median=values[0], low=values[0], high=values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median=median, low=low, high=high)


def summarise(rounds: Sequence[Mapping[str, Mapping[str, float]]], base: str) -> dict[str, dict[str, object]]:
    """For each variant and each quantity its figure, and that of its ratios to the base.

    A ratio is that of two measurements of one round: they lie close in time, so what else the machine
    does touches both.

    Args:
        rounds: Of each round the quantities by variant.
        base: The variant that the others are related to.
    """
    summary: dict[str, dict[str, object]] = {}
    for name in rounds[0]:
        quantities = rounds[0][name]
        summary[name] = {
            quantity: figure([each[name][quantity] for each in rounds]).dump() for quantity in quantities
        }
        if base in rounds[0]:
            summary[name] |= {
                f"{quantity}_ratio": figure(
                    [each[name][quantity] / each[base][quantity] for each in rounds]
                ).dump()
                for quantity in ("throughput", "worker_cpu")
            }
    return summary
