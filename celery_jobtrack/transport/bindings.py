"""Which queues are bound to an exchange: one small file per exchange, shared by all processes."""

from __future__ import annotations

import fcntl
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kombu.transport.filesystem import exchange_queue_t

from celery_jobtrack.transport.folders import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

#: A row of the table, as kombu has it: routing_key, pattern, queue.
Binding = exchange_queue_t


class BindingTable:
    """The bindings of one exchange.

    Changes are made under a lock and replace the file, so a reader needs no lock: it sees the table
    before or after a change, never the middle of one.
    """

    def __init__(self, control: Path, exchange: str) -> None:
        self.path = control / f"{safe_name(exchange)}.exchange"

    def read(self) -> list[Binding] | None:
        """Return the bindings, newest first, or None when there is no table (any more)."""
        try:
            return [Binding(*row) for row in json.loads(self.path.read_bytes())]
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            logger.warning("The binding table %s is not readable and is made anew.", self.path)
            return None

    def add(self, *bindings: Binding) -> None:
        """Bind queues; those bound already stay as they are."""
        with self._locked():
            table = self.read()
            new = [binding for binding in bindings if table is None or binding not in table]
            if new or table is None:
                self._replace([*new, *(table or [])])

    def discard(self, *bindings: Binding) -> None:
        """Unbind queues; those not bound are ignored."""
        with self._locked():
            table = self.read() or []
            kept = [binding for binding in table if binding not in bindings]
            if len(kept) != len(table):
                self._replace(kept)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own: the table's is replaced, and a lock on the old one would hold nobody back.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # Not left to close(): a process forked meanwhile by another thread has the file open too.
                fcntl.flock(file, fcntl.LOCK_UN)

    def _replace(self, table: list[Binding]) -> None:
        aside = self.path.with_suffix(".part")  # One writer at a time: the lock is held.
        aside.write_text(json.dumps(table))
        aside.replace(self.path)
