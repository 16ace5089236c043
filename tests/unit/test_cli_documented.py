"""What the how-to about JSON says of the answers is what they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from celery_jobtrack.cli import jobtrack
from celery_jobtrack.model.state import Outcome
from celery_jobtrack.testing.steps import batch, enqueue, run
from tests.unit.cli_fixtures import new_shop

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "read-json.md"
ROWS = dict(re.findall(r"^\| `([^|]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))

shop = pytest.fixture(new_shop, name="shop")


def names(row):
    return set(re.findall(r"`(\w+)`", ROWS[row]))


def test_every_command_has_a_row():
    commands = set()
    for name, command in jobtrack.commands.items():
        inner = getattr(command, "commands", {})
        commands |= {f"{name} {each}" for each in inner} or {name}
    assert commands == {row.removesuffix(" ID") for row in ROWS if "--" not in row}


@pytest.mark.parametrize(
    "row",
    ["status", "jobs", "job ID", "groups", "group ID", "group ID --why", "queues", "check", "doctor", "prune",
     "db status", "db upgrade"],
)  # fmt: skip
def test_row_names_what_the_answer_has(shop, row):
    batch(shop.store, "b")
    enqueue(shop.store, "j", group_id="b")
    run(shop.store, "j", Outcome.FAILURE, group_id="b")
    arguments = row.replace("group ID", "group b").replace("job ID", "job j").split()
    assert set(shop.json(*arguments)) <= names(row)


def test_row_of_queues_names_what_a_queue_has(shop):
    enqueue(shop.store, "j", queue="q")
    assert set(shop.json("queues")["items"][0]) <= names("queues")


def test_row_of_retry_failed_names_what_it_adds(shop):
    batch(shop.store, "b")
    retried = shop.json("group", "b", "--retry-failed")
    assert {"retried", *retried["retried"]} <= names("group ID --retry-failed")
    assert set(retried) - {"retried"} <= names("group ID")


def test_row_of_the_doctor_names_what_a_finding_has(shop):
    from tests.contract.damage import MemoryHand

    batch(shop.store, "b")
    MemoryHand(shop.store).change_totals("b", total=9)
    answer = shop.json("doctor", "--repair")
    (finding,) = answer["diagnosis"]["findings"]
    assert {*answer["diagnosis"], *finding, *finding["fault"]} - {"detail"} <= names("doctor")
