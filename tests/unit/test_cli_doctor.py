"""``doctor``: says what is wrong, mends it on request, and tells programs by its exit code."""

from __future__ import annotations

import json

import pytest

from celery_jobtrack.testing.steps import enqueue, group, run
from tests.contract.damage import MemoryHand
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")


@pytest.fixture
def damaged(shop):
    group(shop.store, "g", title="Import")
    for number in range(2):
        enqueue(shop.store, f"j{number}", group_id="g")
    run(shop.store, "j0", group_id="g")
    MemoryHand(shop.store).change_totals("g", total=9)
    return shop


WRONG = "counters: group 'Import' (g) counts 9 members (1 succeeded), and has 2 members (1 succeeded)"


def test_doctor_says_that_all_is_well(shop):
    enqueue(shop.store)
    assert shop.lines("doctor") == ["All is well: 1 record was looked at."]
    assert shop.json("doctor") == {
        "well": True,
        "diagnosis": {"findings": [], "examined": 1, "broker_error": None},
    }


def test_doctor_says_what_is_wrong_and_changes_nothing(damaged):
    for _ in range(2):
        result = damaged.run("doctor")
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            WRONG,
            "1 fault found, 2 records were looked at. Mend with --repair.",
        ]


def test_doctor_repairs_and_says_so(damaged, caplog):
    result = damaged.run("doctor", "--repair")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{WRONG} → its members were counted anew",
        "1 fault found, 1 mended; 2 records were looked at.",
    ]
    assert [record.message for record in caplog.records] == [
        f"repaired: {WRONG.removeprefix('counters: ')}: its members were counted anew"
    ]
    assert damaged.run("doctor").exit_code == 0


def test_doctor_as_json_has_every_finding(damaged):
    result = damaged.run("doctor", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    (finding,) = answer["diagnosis"]["findings"]
    assert (answer["well"], finding["repaired"], finding["fault"]["kind"]) == (False, False, "counters")
    assert finding["fault"]["subject"] == "g"


def test_doctor_that_cannot_repair_exits_with_one(damaged, monkeypatch):
    monkeypatch.setattr(damaged.store, "recompute_group", lambda group_id: 1 / 0)
    result = damaged.run("doctor", "--repair")
    assert result.exit_code == 1
    assert "→ not repaired: ZeroDivisionError: division by zero" in result.stdout
    assert "1 fault found, 0 mended, 1 not" in result.stdout
