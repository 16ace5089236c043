"""What a database records of halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from celery_jobtrack.strategies.sql.job_queries import JobQueries
from celery_jobtrack.strategies.sql.statements import insert_if_absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.model.halt import Halt, HaltKind


class Halts(JobQueries):
    """Records halts, takes them back, and lists them. The table has as many rows as people paused things."""

    def halt(self, kind: HaltKind, name: str, reason: str | None = None) -> bool:
        """Guarded by the primary key: whoever comes second writes nothing."""
        about = {"kind": kind, "name": name, "since": self._clock.expression, "reason": reason}
        statement = insert_if_absent(self._schema.halts, self._dialect).values(**about)
        parameters = self._clock.parameters()
        return self._write(lambda connection: connection.execute(statement, parameters).rowcount == 1)

    def lift(self, kind: HaltKind, name: str) -> bool:
        """Guarded by the row itself: of two one deletes it."""
        halts = self._schema.halts
        statement = delete(halts).where(halts.c.kind == kind, halts.c.name == name)
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def halts(self) -> Sequence[Halt]:
        found: Sequence[Halt] = self._records(self._sql.maps.halt, select(*self._sql.maps.halt.columns))
        # Not by the database: each collates in its own way.
        return sorted(found, key=lambda halt: (halt.kind, halt.name))
