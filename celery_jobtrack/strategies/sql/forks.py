"""Forks and open databases: an SQLite connection must not be open in a process that forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10.0
"""Seconds for which a fork waits for transactions to end. It goes on then: a fork must not hang."""


class ForkGate:
    """Lets transactions through, and a fork only between them.

    SQLite keeps account of the locks of its process in memory, and a fork copies the account without
    the locks: a connection that the child opens then believes that it holds what only the parent
    holds, and the write-ahead log can be removed under its hands. So the parent's connections are
    closed before each fork, and none is in the middle of something.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    def passing(self) -> Passage:
        """For the time of one transaction; waits while a fork is being made."""
        return Passage(self)

    def enter(self) -> threading.Condition:
        """Begin to pass; ``leave`` wants what this gives."""
        changed = self._changed
        with changed:
            if self._closed:
                changed.wait_for(lambda: not self._closed, PATIENCE)
            self._inside += 1
        return changed

    def leave(self, entered: threading.Condition) -> None:
        """Be through."""
        with entered:
            # A child counts anew: who was inside when it was forked off is not inside of it.
            if entered is self._changed:
                self._inside -= 1
            if self._closed:
                entered.notify_all()

    def close(self) -> None:
        """Wait for the transactions that are open, and let no other begin."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._inside == 0, PATIENCE)

    def open(self) -> None:
        """Let transactions begin again."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()

    def renew(self) -> None:
        """Begin anew in a child, where nobody is inside and no lock is anybody's."""
        self._reset()


class Passage:
    """One passing of a gate, to be used with ``with``. By hand, as it is on the way of every statement."""

    __slots__ = ("_entered", "_gate")

    def __init__(self, gate: ForkGate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._entered = self._gate.enter()

    def __exit__(self, *_: object) -> None:
        self._gate.leave(self._entered)


def watch_forks(gate: ForkGate, before: Callable[[], None], after_in_child: Callable[[], None]) -> None:
    """Call two methods around each fork of this process, for as long as their objects live.

    Args:
        gate: Closed before ``before`` is called, opened again in the parent, renewed in the child.
        before: A bound method, called in the parent when no transaction is open.
        after_in_child: A bound method, called in the child.
    """
    watched = weakref.ref(gate)
    first, then = weakref.WeakMethod(before), weakref.WeakMethod(after_in_child)

    def close() -> None:
        if (found := watched()) is not None:
            found.close()
        if (call := first()) is not None:
            call()

    def reopen() -> None:
        if (found := watched()) is not None:
            found.open()

    def renew() -> None:
        if (found := watched()) is not None:
            found.renew()
        if (call := then()) is not None:
            call()

    os.register_at_fork(before=close, after_in_parent=reopen, after_in_child=renew)
