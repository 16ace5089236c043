"""The parts of the command line: safe text, times in words, tables that fit, JSON."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Console
from rich.text import Text

from celery_jobtrack.cli.clean import clean, clean_lines, one_line
from celery_jobtrack.cli.documents import as_text
from celery_jobtrack.cli.pages import listed
from celery_jobtrack.cli.screen import print_whole
from celery_jobtrack.cli.table import Column, FittedTable
from celery_jobtrack.cli.times import ago, between
from celery_jobtrack.model.job import Progress
from celery_jobtrack.model.requests import Page
from celery_jobtrack.model.spans import span
from celery_jobtrack.model.state import JobState

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [red]x[/red] 'quoted' \\x1b", "plain [red]x[/red] 'quoted' \\x1b"),
        ("emoji 🚫 👩‍👩‍👧 日本 ñ", "emoji 🚫 👩‍👩‍👧 日本 ñ"),
        ("\x1b[31m\x00\x07\x7f\x9b", "\\x1b[31m\\x00\\x07\\x7f\\x9b"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\u202eabc\u2066\u2028", "\\u202eabc\\u2066\\u2028"),
        ("\udcff", "\\udcff"),
        (None, "None"),
    ],
)
def test_clean_shows_what_a_terminal_would_obey(text, shown):
    assert clean(text) == shown


def test_clean_lines_keeps_lines_only():
    assert clean_lines("a\r\n\tb\x1b\nc\rd") == "a\n    b\\x1b\nc\\rd"


def test_one_line_is_one_line():
    assert one_line("  a\n\n b\tc\x1b ") == "a b c\\x1b"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 0.2, "up to 1 s"), (0.5, 20, "up to 20 s"), (12, 20.1, "12 to 21 s"), (20, 20, "20 s"),
        (250, 350, "4 to 6 min"), (80, 100, "80 s to 2 min"), (300, 10000, "5 min to 3 h"),
        (90000, 900000, "25 h to 11 d"), (86400 * 2000, 86400 * 3000, "2,000 to 3,000 d"),
    ],
)  # fmt: skip
def test_between_says_from_what_to_what(low, high, said):
    assert between(low, high) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"), (0, "0 ms"), (0.0124, "12 ms"), (1, "1.0 s"), (9.94, "9.9 s"), (12.4, "12 s"),
        (59.7, "1 min"), (75, "1 min 15 s"), (3600, "1 h"), (7500, "2 h 5 min"), (90000, "1 d 1 h"),
        (8640000, "100 d"),
    ],
)  # fmt: skip
def test_span_says_how_long(seconds, said):
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"), (0.9, "now"), (-0.9, "now"), (12.7, "12 s ago"), (119, "1 min ago"),
        (7300, "2 h ago"), (400 * 86400, "400 d ago"), (-12, "in 12 s"), (-3601, "in 1 h"),
    ],
)  # fmt: skip
def test_ago_says_when(seconds, said):
    assert ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_ago_of_nothing_is_nothing():
    assert ago(None, NOW) == ""


def _printed(columns, rows, width):
    out = io.StringIO()
    print_whole(Console(file=out, width=width, markup=False), FittedTable(columns, rows))
    return out.getvalue().splitlines()


COLUMNS = (
    Column(title="ID", cell=lambda row: row["id"]),
    Column(title="NAME", cell=lambda row: row["name"], narrowest=6, ends_matter=True),
    Column(title="NOTE", cell=lambda row: row.get("note"), narrowest=6, rank=1),
    Column(title="EMPTY", cell=lambda row: None, rank=2),
    Column(title="N", cell=lambda row: row["n"], right=True),
)
ROWS = [
    {"id": "a" * 12, "name": "shop.resize", "note": "日本日本日本", "n": 7},
    {"id": "b", "name": "pay", "n": 12},
]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            80,
            [
                "ID            NAME         NOTE           N",
                "aaaaaaaaaaaa  shop.resize  日本日本日本   7",
                "b             pay                        12",
            ],
        ),
        (
            32,
            [
                "ID            NAME    NOTE     N",
                "aaaaaaaaaaaa  …esize  日本…    7",
                "b             pay             12",
            ],
        ),
        (
            24,
            [
                "ID            NAME     N",
                "aaaaaaaaaaaa  …esize   7",
                "b             pay     12",
            ],
        ),
        (
            10,
            [
                "ID            NAME     N",
                "aaaaaaaaaaaa  …esize   7",
                "b             pay     12",
            ],
        ),
    ],
)
def test_table_fits_by_giving_up_what_matters_least(width, lines):
    assert _printed(COLUMNS, ROWS, width) == lines


def test_json_is_plain_and_strict():
    value = {
        JobState.SUCCESS: Progress(current=float("nan"), total=float("inf"), text="\x9b日"),
        "at": NOW,
        "many": (1, None, True, "x"),
    }
    text = as_text(value)
    assert text.isascii()
    assert json.loads(text) == {
        "SUCCESS": {"current": None, "total": None, "text": "\x9b日"},
        "at": "2026-01-01T00:00:00+00:00",
        "many": [1, None, True, "x"],
    }


def test_page_without_items_that_is_not_the_last_says_how_to_go_on():
    shown = listed(Text("unused"), Page(items=(), cursor="42"), what="jobs", filtered=True)
    (line,) = shown.renderables
    assert "No jobs match so far" in str(line)
    assert "--cursor 42" in str(line)
