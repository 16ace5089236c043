"""What the memory store records of halts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.model.halt import Halt
from celery_jobtrack.strategies.contract import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_jobtrack.model.halt import HaltKind
    from celery_jobtrack.strategies.memory.rows import Tables

T = TypeVar("T")


class Halts(Store):
    """Records halts, takes them back, and lists them."""

    @abstractmethod
    def _read(self, read: Callable[[Tables], T]) -> T:
        """What it reads of the tables, under their lock."""

    def halt(self, kind: HaltKind, name: str, reason: str | None = None) -> bool:
        def write(tables: Tables) -> bool:
            if (kind, name) in tables.halts:
                return False
            tables.halts[kind, name] = Halt(kind=kind, name=name, since=self.now(), reason=reason)
            return True

        return self._read(write)

    def lift(self, kind: HaltKind, name: str) -> bool:
        return self._read(lambda tables: tables.halts.pop((kind, name), None) is not None)

    def halts(self) -> Sequence[Halt]:
        return self._read(lambda tables: [halt for _, halt in sorted(tables.halts.items())])
