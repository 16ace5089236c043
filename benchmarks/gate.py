"""What tracking may cost, and whether it does. Nothing fails by it: time is no fact about code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMITS = {
    "jobtrack-redis": 1.12,
    "jobtrack-postgresql": 1.25,
}
"""Worker CPU for each job over that of bare Celery."""
PEERS = {
    "jobtrack-redis": "redis-backend",
    "jobtrack-postgresql": "postgresql-backend",
}
"""Celery's own result backend on the same server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One limit, and what was measured."""

    about: str
    measured: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.measured <= self.limit

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


def judge(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[Verdict]:
    """Every limit that can be judged by the variants of a run."""
    ratios = {
        name: figures["worker_cpu_ratio"]["median"]
        for name, figures in summary.items()
        if "worker_cpu_ratio" in figures
    }
    for name, limit in LIMITS.items():
        if name in ratios:
            yield Verdict(about=f"worker CPU per job of {name} / bare", measured=ratios[name], limit=limit)
    for name, peer in PEERS.items():
        if name in ratios and peer in ratios:
            yield Verdict(
                about=f"worker CPU per job of {name} / bare, against {peer}",
                measured=ratios[name],
                limit=ratios[peer],
            )
