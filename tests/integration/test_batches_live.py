"""Batches with real workers: callbacks, failures, additions, nesting, retries, deaths."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.integration.live import BOUND
from tests.waiting import wait_until

KINDS = ("before", "then", "catch", "finally")


def followed(shop, batch):
    """What the callbacks of a batch wrote down, in order; one that runs twice is there twice."""
    path = shop.folder / "told.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line["what"] for line in map(json.loads, lines) if line["group"] == batch.id]


def with_callbacks(shop, pending):
    told = shop.task("told")
    pending = pending.before(told.s("before")).then(told.s("then")).catch(told.s("catch"))
    return pending.finally_(told.s("finally"))


def await_closed(batch):
    wait_until(lambda: batch.refresh().closed_at is not None, BOUND, "the batch was not closed")


@pytest.mark.parametrize(
    ("members", "tolerant", "outcome", "expected"),
    [
        (["add"] * 5, False, "SUCCEEDED", {"before", "then", "finally"}),
        ([], False, "SUCCEEDED", {"before", "then", "finally"}),
        (["error"] * 8, False, "FAILED", {"before", "catch", "finally"}),
        (["add", "error", "add", "error"], True, "FAILED", {"before", "catch", "finally"}),
        (["ignore", "add"], False, "SUCCEEDED", {"before", "then", "finally"}),
    ],
)
def test_batch_runs_the_callbacks_of_its_outcome_once(running_shop, members, tolerant, outcome, expected):
    shop = running_shop
    signatures = [shop.task(name).s(*((1, 2) if name == "add" else ())) for name in members]
    pending = with_callbacks(shop, shop.jobtrack.batch(signatures, title="Matrix"))
    batch = (pending.allow_failures() if tolerant else pending).dispatch()
    await_closed(batch)
    assert batch.outcome == outcome
    assert Counter(followed(shop, batch)) == Counter(expected)
    assert {str(each.kind) for each in batch.callbacks() if each.job is not None} == expected
