"""A store that only transitions have written has no faults, as far as it looks for any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.keys import WAIT
from celery_jobtrack.testing.steps import all_events, enqueue, finish, group, run, start

if TYPE_CHECKING:
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.testing.clock import Clock


class FaultContract:
    """``faults``, ``mend`` and ``fillers``. What is found needs a backend that can be damaged."""

    def test_nothing_is_wrong_that_was_done_by_transitions(self, store: Store, clock: Clock) -> None:
        group(store)
        for number in range(4):
            enqueue(store, f"j{number}", group_id="g", tags=("red",))
        start(store, "j0", "t0", group_id="g")
        run(store, "j1", group_id="g")
        run(store, "j2", Outcome.FAILURE, group_id="g")
        for job_id in ("has", "waits", "waits too"):
            enqueue(store, job_id, **WAIT)
            start(store, job_id, f"t-{job_id}", **WAIT)
        finish(store, "has", "t-has", **WAIT)
        all_events(store, clock)
        cursor, parts = None, 0
        while True:
            page = store.faults(cursor)
            assert page.faults == ()
            cursor, parts = page.cursor, parts + 1
            if cursor is None:
                break
            assert parts < 1000, "the parts do not end"

    def test_fillers_are_those_who_hold_a_group(self, store: Store) -> None:
        group(store)
        assert not store.fillers("g")
        held = store.begin_filling("g", "filler", 30)
        found = store.fillers("g")
        assert list(found) in ([], ["filler"]), "a store need not tell"
        assert all(until > held.group.created_at for until in found.values())
        store.end_filling("g", "filler")
        assert not store.fillers("g")
