"""What the memory store answers about halts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from celery_jobtrack.strategies.contract import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery_jobtrack.model.halt import Halt
    from celery_jobtrack.strategies.memory.rows import Tables

T = TypeVar("T")


class HaltAnswers(Store):
    """Lists halts."""

    @abstractmethod
    def _read(self, read: Callable[[Tables], T]) -> T:
        """What it reads of the tables, under their lock."""

    def halts(self) -> Sequence[Halt]:
        return self._read(lambda tables: _halts(tables, lifted=False))

    def lifted_halts(self) -> Sequence[Halt]:
        return self._read(lambda tables: _halts(tables, lifted=True))


def _halts(tables: Tables, *, lifted: bool) -> list[Halt]:
    return [halt for _, halt in sorted(tables.halts.items()) if halt.lifted is lifted]
