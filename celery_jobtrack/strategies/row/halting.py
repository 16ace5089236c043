"""Halts over locked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.halt import Halt, Lifted, gate_of
from celery_jobtrack.strategies.row import gates
from celery_jobtrack.strategies.row.base import RowBase

if TYPE_CHECKING:
    from celery_jobtrack.model.halt import HaltKind
    from celery_jobtrack.strategies.row.rows import Rows


class HaltTransitions(RowBase):
    """``halt`` and ``lift``: of two who want the same at once, one waits for the other at the gate's row."""

    def halt(self, kind: HaltKind, name: str, reason: str | None = None) -> bool:
        def write(rows: Rows) -> bool:
            lock = rows.lock(gate_of(kind, name))
            known = rows.halt(kind, name)
            if known is not None and not known.lifted:
                return False
            rows.put_halt(Halt(kind=kind, name=name, since=rows.now(), reason=reason))
            rows.update_lock(lock, lock.evolve(limit=0, touched_at=rows.now()))
            return True

        return self._run(write)

    def lift(self, kind: HaltKind, name: str, *, only_if_lifted: bool = False) -> Lifted:
        def write(rows: Rows) -> Lifted:
            if rows.halt(kind, name) is None:
                return Lifted(applied=False)
            rows.lock(gate_of(kind, name))
            held = rows.halt(kind, name)
            if held is not None and only_if_lifted and not held.lifted:
                return Lifted(applied=False)
            called, more = gates.call_some(rows, gate_of(kind, name))
            # Read again, now that the gate's row is locked.
            known = rows.halt(kind, name)
            if known is None:
                return Lifted(applied=False, called=called)
            if more:
                rows.put_halt(known.evolve(lifted=True))
            else:
                rows.drop_halt(known)
            return Lifted(applied=not known.lifted, called=called)

        return self._run(write)
