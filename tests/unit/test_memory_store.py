from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.strategies.row import Conflict
from celery_jobtrack.testing import steps


def test_memory_store_is_usable_in_the_child_of_a_fork():
    store = MemoryStore()
    parent = store.claimant
    taken, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction():
            taken.set()
            assert forked.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        store.after_fork()
        assert steps.enqueue(store).created
        assert store.claimant != parent
    finally:
        forked.set()
        thread.join()


def test_memory_store_takes_the_machine_s_time_by_default():
    assert abs(MemoryStore().now().timestamp() - MemoryStore(clock=None).now().timestamp()) < 10


def test_memory_stores_do_not_meet():
    one, other = MemoryStore(), MemoryStore()
    steps.enqueue(one)
    assert other.job("job") is None


class Quarrelsome(MemoryStore):
    """The first ``conflicts`` transactions meet a conflict when they commit."""

    def __init__(self, conflicts: int) -> None:
        super().__init__()
        self.conflicts = conflicts

    @contextmanager
    def transaction(self):
        with super().transaction() as rows:
            yield rows
            if self.conflicts:
                self.conflicts -= 1
                raise Conflict("somebody was faster")


def test_transaction_is_made_again_after_a_conflict():
    store = Quarrelsome(5)
    steps.group(store)
    store.conflicts = 5
    assert steps.enqueue(store, group_id="g").created
    assert steps.the_group(store).totals.total == 1


def test_recompute_after_a_conflict_says_what_it_saw_last():
    store = Quarrelsome(0)
    steps.group(store)
    steps.enqueue(store, group_id="g")
    store.conflicts = 2
    assert store.recompute_group("g").repaired is None


def test_transaction_that_only_meets_conflicts_is_given_up():
    with pytest.raises(StoreUnavailable, match="30 transactions in a row met a conflict"):
        steps.enqueue(Quarrelsome(1000))
