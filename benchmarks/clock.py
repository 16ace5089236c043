"""Wall and CPU time of a loop, for each turn of it."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks import cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds for one call: on the clock, of this process's CPU, of the server's CPU."""

    wall: float
    cpu: float
    server: float

    def dump(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 1) for name, value in asdict(self).items()}


def cost_of(call: Callable[[Any], object], values: Iterable[Any], *, server: int | None = None) -> Cost:
    """What one call costs, on average over all ``values``.

    Args:
        call: What is measured; given one value after the other.
        values: Made ready before the clock starts.
        server: The pid of the server that answers.
    """
    ready = list(values)
    served = 0.0 if server is None else cpu.seconds(server)
    wall, used = time.perf_counter(), time.process_time()
    for value in ready:
        call(value)
    wall, used = time.perf_counter() - wall, time.process_time() - used
    served = 0.0 if server is None else cpu.seconds(server) - served
    return Cost(wall=wall / len(ready) * 1e6, cpu=used / len(ready) * 1e6, server=served / len(ready) * 1e6)


def milliseconds(ask: Callable[[], object], *, times: int = 20, warm_up: int = 3) -> dict[str, float]:
    """Median and worst time of a question on the clock, after a few that are not counted."""
    for _ in range(warm_up):
        ask()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1e3)
    return {"median": round(statistics.median(took), 3), "worst": round(max(took), 3)}
