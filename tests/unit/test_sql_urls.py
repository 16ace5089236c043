from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.strategies.sql.urls import parse_url, shown_url

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:////tmp/x.db", "sqlite"),
        ("db+sqlite:////tmp/x.db", "sqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("db+postgresql+psycopg2://u@h/d", "postgresql+psycopg"),
        ("sqla+postgresql://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("db+mysql+pymysql://u@h/d", "mysql+pymysql"),
        ("mysql+mysqldb://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mysql+pymysql"),
        ("mariadb+pymysql://u@h/d", "mysql+pymysql"),
    ],
)
def test_url_names_a_driver(given: str, driver: str) -> None:
    assert parse_url(given).drivername == driver


@pytest.mark.parametrize("url", ["oracle://u@h/d", "postgresql+asyncpg://u@h/d", "redis://h"])
def test_url_of_another_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="supported are"):
        parse_url(url)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "db+sqlite:///", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_sqlite_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://"):
        SqlStore(url)


def test_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_url("postgresql//user:geheim@host")
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_url("sqlite:///sub/jobs.db").database == str(tmp_path / "sub" / "jobs.db")


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_url("sqlite:///~/jobs.db").database == str(tmp_path / "jobs.db")


def test_shown_url_hides_every_password() -> None:
    shown = shown_url(parse_url("postgresql://me:geheim@h/d?sslpassword=geheim&sslmode=require"))
    assert shown == "postgresql+psycopg://me:***@h/d?sslmode=require&sslpassword=hidden"


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [("postgresql://u@h/d", "psycopg", "postgres"), ("mysql://u@h/d", "pymysql", "mysql")],
)
def test_missing_driver_names_the_extra(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'celery-jobtrack\[{extra}\]'"):
        SqlStore(url)


@pytest.mark.parametrize("namespace", ["", "Upper", "with-dash", "x" * 25, "sp ace", "a\n", "ä"])
def test_namespace_that_no_table_can_have_is_refused(namespace: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a-z"):
        SqlStore(f"sqlite:///{tmp_path / 'x.db'}", namespace=namespace)
