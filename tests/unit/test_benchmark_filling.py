"""The benchmarks fill a store in bulk: its rows must be those that the contract's calls write."""

import re

from sqlalchemy import create_engine, text

from benchmarks.filling import Plan, fill

PLAN = {"jobs": 300, "groups": 30, "processes": 1}
PARTS = ("jobs", "attempts", "groups", "events", "tags", "fillers")
EVER_NEW = re.compile(r"(^|_)(id|at|token|seq|until|by|since|failure)$")
"""Columns that differ from run to run; of those it counts whether they are null."""


def test_bulk_filling_writes_the_rows_that_the_contract_writes(tmp_path):
    rows = {}
    for bulk in (False, True):
        url = f"sqlite:///{tmp_path}/{bulk}.db"
        fill(url, Plan(**PLAN, bulk=bulk))
        rows[bulk] = rows_of(url)
    assert {part: len(found) for part, found in rows[True].items()} == {
        "jobs": 300,
        "attempts": 300,
        "groups": 30,
        "events": 60,
        "tags": 13,
        "fillers": 0,
    }
    assert rows[True] == rows[False]


def rows_of(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            part: sorted(
                repr(
                    {
                        name: value is None if EVER_NEW.search(name) else value
                        for name, value in row._mapping.items()
                    }
                )
                for row in connection.execute(text(f"SELECT * FROM jobtrack_{part}"))
            )
            for part in PARTS
        }
    engine.dispose()
    return found
