"""Two operations in the one order that matters: the second begins when the first is about to commit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from celery_jobtrack.strategies.sql.rows import SqlRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celery_jobtrack.strategies.row import Rows, RowStore

S = TypeVar("S")
T = TypeVar("T")

BLOCKED_SECONDS = 0.3
"""How long the second may take before it counts as waiting for the first."""
BOUND_SECONDS = 20.0


def interleave(
    store: RowStore, first: Callable[[], S], second: Callable[[], T], *, transactions: int = 1
) -> tuple[S, T]:
    """Runs ``first`` up to its commit, then ``second`` until it ends or waits, then both to the end.

    A statement that is a transaction by itself is held at its end as any other transaction is.

    Args:
        store: The one that both use.
        first: Is held at its commit.
        second: Begins then.
        transactions: How many ``first`` makes, if it is not to be held at the first of them.
    """
    written, may_commit = threading.Event(), threading.Event()
    transaction = store.transaction
    made = 0

    def is_first() -> bool:
        return threading.current_thread().name.startswith("first")

    def hold() -> None:
        nonlocal made
        made += 1
        if made == transactions:
            written.set()
            assert may_commit.wait(BOUND_SECONDS)

    @contextmanager
    def held() -> Iterator[Rows]:
        with transaction() as rows:
            yield rows
            if is_first():
                if isinstance(rows, SqlRows):
                    rows.finish()  # some statements are left to the end
                hold()

    store.transaction = held
    autocommit = getattr(store, "_autocommit", None)
    if autocommit is not None:
        store._autocommit = HeldStatements(store, is_first, hold)
    firsts, seconds = ThreadPoolExecutor(1, "first"), ThreadPoolExecutor(1, "second")
    with firsts, seconds:
        try:
            one = firsts.submit(first)
            assert written.wait(BOUND_SECONDS), "the first operation made no transaction"
            other = seconds.submit(second)
            wait([other], BLOCKED_SECONDS)
        finally:
            may_commit.set()
            store.transaction = transaction
            if autocommit is not None:
                store._autocommit = autocommit
        return one.result(BOUND_SECONDS), other.result(BOUND_SECONDS)


class HeldStatements:
    """In the place of a store's ``Autocommit``: puts statements into a transaction, held at its end.

    Args:
        store: Whose statements they are.
        is_held: Whether to do so with the statement that is about to be executed.
        hold: Called when a statement has written, before the commit.
    """

    def __init__(self, store: RowStore, is_held: Callable[[], bool], hold: Callable[[], None]) -> None:
        self._autocommit = store._autocommit
        self._engine = store._engine
        self._is_held = is_held
        self._hold = hold

    def row(self, text: str, parameters: Sequence[Any]) -> Sequence[Any] | None:
        if not self._is_held():
            return self._autocommit.row(text, parameters)
        from celery_jobtrack.strategies.sql.bounded import numbered_cursor

        with self._engine.begin() as connection:
            cursor = numbered_cursor(connection.connection.driver_connection)
            row = cursor.execute(text, parameters).fetchone()
            if row is not None:
                self._hold()
            return row
