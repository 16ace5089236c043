"""Two operations in the one order that matters: the second begins when the first is about to commit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    Args:
        store: The one that both use.
        first: Is held at its commit.
        second: Begins then.
        transactions: How many ``first`` makes, if it is not to be held at the first of them.
    """
    written, may_commit = threading.Event(), threading.Event()
    transaction = store.transaction
    made = 0

    @contextmanager
    def held() -> Iterator[Rows]:
        nonlocal made
        with transaction() as rows:
            yield rows
            if not threading.current_thread().name.startswith("first"):
                return
            made += 1
            if made == transactions:
                written.set()
                assert may_commit.wait(BOUND_SECONDS)

    store.transaction = held
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
        return one.result(BOUND_SECONDS), other.result(BOUND_SECONDS)
