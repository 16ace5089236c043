"""``locks``: keys, who stands at them, and taking one away."""

from __future__ import annotations

import pytest

from celery_jobtrack.model.halt import HaltKind
from celery_jobtrack.model.lock import Claim, Kind, OnConflict
from celery_jobtrack.testing.steps import enqueue, finish, start
from tests.unit.cli_fixtures import LONG_ID, new_shop

shop = pytest.fixture(new_shop, name="shop")

KEY = "overlap:shop.report:2026-11"
CLAIMS = (Claim(key=KEY),)


def _busy(shop, key=KEY, **more):
    claims = (Claim(key=key, **more),)
    enqueue(shop.store, LONG_ID, claims=claims)
    start(shop.store, LONG_ID, "t1", claims=claims)
    for number in (1, 2):
        enqueue(shop.store, f"waiting-{number}", claims=claims)
    shop.time += 90


def test_locks_says_that_there_are_none(shop):
    assert shop.lines("locks") == ["No locks are recorded."]
    assert shop.json("locks") == {"items": [], "cursor": None}


def test_locks_shows_who_has_a_key_since_when_and_how_many_wait(shop):
    _busy(shop)
    head, line = shop.lines("locks", columns=200)
    assert head.split() == ["KEY", "TAKEN", "WAITING", "HELD", "BY", "FENCE", "SINCE"]
    assert line.split()[:6] == [KEY, "1", "of", "1", "2", LONG_ID], line
    assert line.endswith("1 min ago")


def test_locks_names_the_first_holder_and_counts_the_others(shop):
    for number in range(3):
        claims = (Claim(key="slots:shop.call", limit=3),)
        start(shop.store, f"job-{number}", f"t{number}", claims=claims)
    assert "job-0 and 2 more" in shop.lines("locks")[1]


def test_locks_key_shows_everybody_at_it(shop):
    _busy(shop)
    text = "\n".join(shop.lines("locks", "--key", KEY))
    assert [name in text for name in (LONG_ID, "waiting-1", "waiting-2", "holding", "waiting")] == [True] * 5
    document = shop.json("locks", "--key", KEY)
    assert [place["job_id"] for place in document["holders"]] == [LONG_ID]
    assert [place["job_id"] for place in document["line"]] == ["waiting-1", "waiting-2"]


def test_locks_key_that_is_free_says_so(shop):
    start(shop.store, "a", "ta", claims=CLAIMS)
    finish(shop.store, "a", "ta", claims=CLAIMS)
    assert shop.lines("locks", "--key", KEY)[-1] == "Nobody has it, and nobody waits."


def test_locks_counts_what_was_rejected(shop):
    claims = (Claim(key=KEY, on_conflict=OnConflict.SKIP),)
    start(shop.store, "a", "ta", claims=claims)
    enqueue(shop.store, "b", claims=claims)
    assert shop.json("locks", "--key", KEY)["rejected"] == 1


def test_unknown_key_is_exit_code_2(shop):
    for option in ("--key", "--release"):
        assert "nobody has claimed the key 'nope' lately" in shop.error("locks", option, "nope", code=2)


def test_release_takes_the_key_away_and_says_from_whom(shop):
    start(shop.store, "a", "ta", claims=CLAIMS)
    assert shop.lines("locks", "--release", KEY) == ["The key was taken away from a."]
    assert shop.lines("locks", "--release", KEY) == ["Nobody had the key; nothing was changed."]
    assert start(shop.store, "b", "tb", claims=CLAIMS).admitted


def test_locks_says_when_the_next_of_a_line_is_due(shop):
    claims = (Claim(key="starts:shop.mail", kind=Kind.RATE, interval=3600.0),)
    start(shop.store, "a", "ta", claims=claims)
    enqueue(shop.store, "b", claims=claims)
    head, line = shop.lines("locks", columns=200)
    assert "DUE" in head
    assert "in 59 min" in line or "in 1 h" in line
    assert shop.json("locks")["items"][0]["kind"] == "rate"


def test_gate_has_no_places_to_be_counted(shop):
    shop.store.halt(HaltKind.TASK, "shop.mail", "why")
    enqueue(shop.store, "a", task="shop.mail")
    start(shop.store, "a", "ta", task="shop.mail")
    _, line = shop.lines("locks", columns=200)
    assert line.split()[:2] == ["gate:task:shop.mail", "1"]


def test_job_says_for_which_lock_it_waits(shop):
    _busy(shop)
    said = f"it waits for the lock {KEY!r}, number 1 of 2 in line; job {LONG_ID} (shop.resize) has it for"
    assert said in "\n".join(shop.lines("job", "waiting-1", columns=300))
    lock = shop.json("job", "waiting-1")["lock"]
    assert (lock["key"], lock["position"], lock["waiting"]) == (KEY, 1, 2)
    assert [(holder["job_id"], holder["worker"]) for holder in lock["holders"]] == [(LONG_ID, "celery@one")]
