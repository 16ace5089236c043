"""What a database answers about halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.strategies.sql.job_queries import JobQueries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.halt import Halt


class HaltQueries(JobQueries):
    """Lists halts. The table has as many rows as people paused things."""

    def halts(self) -> Sequence[Halt]:
        return self._halts(lifted=False)

    def lifted_halts(self) -> Sequence[Halt]:
        return self._halts(lifted=True)

    def _halts(self, *, lifted: bool) -> list[Halt]:
        found: Sequence[Halt] = self._records(self._sql.maps.halt, self._sql.halts)
        # Not sorted by the database: each collates in its own way.
        return sorted(
            (halt for halt in found if halt.lifted is lifted), key=lambda halt: (halt.kind, halt.name)
        )
