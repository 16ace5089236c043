"""``status`` and ``check``: the whole at one glance, and one tick by hand."""

from __future__ import annotations

from datetime import datetime

import pytest

from celery_jobtrack.model.requests import Worker
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.strategies.contract import EVENT_CLAIM
from celery_jobtrack.testing.steps import enqueue, group, run, settle, start
from celery_jobtrack.tracking.checker import LEASE
from tests.unit.cli_fixtures import has_facts, new_shop

shop = pytest.fixture(new_shop, name="shop")


def test_status_of_an_empty_store(shop):
    lines = shop.lines("status")
    assert has_facts(
        lines, store="memory://", namespace="default", jobs="0", groups="0", workers="none alive"
    )
    assert lines[-1] == "A store in memory is seen by its own process only."


def test_status_counts_jobs_groups_and_events(shop):
    group(shop.store, "g1")
    group(shop.store, "g2")
    enqueue(shop.store, "j1", group_id="g1")
    run(shop.store, "j2", Outcome.FAILURE)
    run(shop.store, "j3")
    settle(shop.store, "j4", group_id="g2")
    lines = shop.lines("status")
    assert has_facts(
        lines,
        jobs="4  =  1 ENQUEUED  1 SUCCESS  1 FAILURE  1 REVOKED",
        groups="2  =  1 AWAITING  1 COMPLETED",
        events="2 to be delivered",
    )
    shop.time += EVENT_CLAIM + 1
    (event,) = shop.store.claim_events("somebody")
    shop.store.postpone_event(event.id, "ValueError: no", seconds=None)
    assert has_facts(shop.lines("status"), events="1 to be delivered, 1 undeliverable")


def test_status_lists_live_workers(shop):
    shop.store.register_worker(Worker(id="w1", name="celery@one", pid=11), 45)
    shop.store.register_worker(Worker(id="w2", name="celery@gone", pid=12), 1)
    shop.time += 12
    shop.store.heartbeat(Worker(id="w1", name="celery@one", pid=11), 45)
    shop.time += 3
    lines = shop.lines("status", columns=80)
    assert lines[lines.index("WORKER      PID  HEARTBEAT  STARTED") + 1 :][0] == (
        "celery@one   11  3 s ago    15 s ago"
    )
    assert has_facts(lines, workers="1 alive")
    assert not any("celery@gone" in line for line in lines)


def test_status_as_json_names_every_state(shop):
    shop.store.register_worker(Worker(id="w1", name="celery@one", pid=11), 45)
    answer = shop.json("status")
    assert set(answer) == {
        "store", "schema_version", "namespace", "now", "jobs", "groups", "events", "workers",
        "paused"
    }  # fmt: skip
    assert answer["jobs"]["SUCCESS"] == answer["groups"]["RUNNING"] == 0
    assert len(answer["jobs"]) == 8
    assert answer["events"] == {"pending": 0, "undeliverable": 0}
    assert answer["workers"][0]["name"] == "celery@one"
    assert datetime.fromisoformat(answer["now"]) == shop.store.now()


def test_check_says_that_there_was_nothing_to_do(shop):
    assert shop.lines("check") == ["Checked: nothing was to be done."]
    assert shop.store.acquire_lease(LEASE, "another", 30), "the lease is handed over"


def test_check_says_what_it_did(shop):
    group(shop.store, "g")
    start(shop.store, "j1", "t1", group_id="g")
    shop.time += 120
    assert shop.lines("check") == [
        "Checked:",
        "  ended 1 job because the worker is gone",
        "  events of groups wait: a worker is asked to deliver them",
    ]


def test_check_deletes_what_is_old(shop):
    run(shop.store, "j1")
    shop.time += 25 * 3600
    assert shop.lines("check") == ["Checked:", "  deleted 1 old row that had been kept for long enough"]
    assert shop.store.job("j1") is None


def test_check_as_json_is_the_tick(shop):
    answer = shop.json("check")
    assert answer["ran"] is True
    assert answer["tick"] == {
        "lost": 0, "expired": 0, "cancelled": 0, "republished": 0, "called": 0, "groups": 0, "repaired": 0,
        "delivery": False, "pruned": 0, "failed": [],
    }  # fmt: skip


def test_check_leaves_it_to_another_checker(shop):
    shop.store.acquire_lease(LEASE, "another", 30)
    busy = "Another process (a worker, beat or another check) is the checker at present, and does the same"
    assert shop.lines("check") == [f"{busy}; nothing was done here."]
    assert shop.json("check") == {"ran": False, "tick": None}


def test_check_with_a_step_that_failed_is_exit_code_1(shop, monkeypatch):
    monkeypatch.setattr(shop.store, "expired_jobs", lambda limit: 1 / 0)
    said = "a step failed and is tried again at the next tick: end expired jobs"
    assert shop.error("check", code=1) == said
