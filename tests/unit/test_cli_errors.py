"""What goes wrong is one line on stderr, never a traceback."""

from __future__ import annotations

import pytest
from celery import Celery

from celery_jobtrack.errors import StoreUnavailable
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")

COMMANDS = (
    ("status",),
    ("jobs",),
    ("job", "id"),
    ("groups",),
    ("group", "id"),
    ("group", "id", "--watch"),
    ("check",),
    ("doctor",),
)


@pytest.fixture
def elsewhere(shop):
    """An app without a strategy, broker or result backend."""
    shop.app = Celery("elsewhere", set_as_current=False)
    return shop


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_a_store_that_does_not_answer(shop, monkeypatch, command, flags):
    def refuse():
        raise StoreUnavailable("postgresql://u:***@host/db: connection\n\trefused \x1b[2J")

    monkeypatch.setattr(shop.store, "open", refuse)
    said = "postgresql://u:***@host/db: connection refused \\x1b[2J"
    assert shop.error(*command, *flags, code=1) == said


@pytest.mark.parametrize("command", [*COMMANDS, ("db", "upgrade"), ("db", "status")], ids=" ".join)
def test_no_store_can_be_inferred(elsewhere, command):
    said = elsewhere.error(*command, code=1)
    assert said.startswith("no store for celery-jobtrack: tried jobtrack_strategy (not set)")


def test_a_wrong_setting(elsewhere):
    elsewhere.app.conf.jobtrack_strateggy = "memory://"
    assert "did you mean jobtrack_strategy?" in elsewhere.error("status", code=1)


def test_a_wrong_strategy(elsewhere):
    elsewhere.app.conf.jobtrack_strategy = "nowhere.at_all:Store"
    assert "cannot be imported" in elsewhere.error("jobs", code=1)


def test_a_database_that_is_away(elsewhere):
    elsewhere.app.conf.jobtrack_strategy = "postgresql://user:geheim@127.0.0.1:1/jobs"
    said = elsewhere.error("status", code=1)
    assert "127.0.0.1" in said
    assert "geheim" not in said


def test_a_configuration_that_cannot_be_imported(elsewhere):
    elsewhere.app.config_from_object("nowhere.at_all")
    said = elsewhere.error("status", code=1)
    assert said.startswith("the configuration of app 'elsewhere' cannot be read: ModuleNotFoundError")


def test_tasks_that_cannot_be_imported_stop_only_what_needs_them(shop):
    shop.app.conf.imports = ("nowhere.at_all",)
    assert "tasks of app 'shop' cannot be imported" in shop.error("check", code=1)
    assert shop.run("status").exit_code == 0


def test_tracking_that_is_switched_off(shop):
    shop.app.conf.jobtrack_enabled = False
    assert "jobtrack_enabled is False" in shop.error("jobs", code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "--state", "bogus"),
        ("jobs", "--since", "yesterday"),
        ("jobs", "--since", "999999999999d"),
        ("jobs", "--since", "0.5h"),
        ("jobs", "--limit", "0"),
        ("jobs", "--limit", "1001"),
        ("jobs", "--task", "\udcff"),
        ("job", "\udcff"),
        ("job",),
        ("jbos",),
        ("db", "downgrade"),
    ],
    ids=repr,
)
def test_what_is_typed_wrongly_is_exit_code_2(shop, arguments):
    result = shop.run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("command", ["jobs", "groups"])
def test_what_is_no_cursor_is_exit_code_1(shop, command):
    assert shop.error(command, "--cursor", "abc", code=1).startswith("'abc' is no cursor")


def test_every_command_has_a_sentence_an_example_and_json(shop):
    listed = shop.run("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == [
        "status", "jobs", "job", "groups", "group", "queues", "locks", "pause", "resume", "run", "dispatch",
        "check", "doctor", "prune", "db"
    ]  # fmt: skip
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)
    for command in (*(line.split()[:1] for line in listed[:-1]), ["db", "status"], ["db", "upgrade"]):
        text = shop.run(*command, "--help").stdout
        assert f"celery -A shop jobtrack {' '.join(command)}" in text
        assert "--json" in text
