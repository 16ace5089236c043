"""``db``: the schema of a store, seen and upgraded."""

from __future__ import annotations

import pytest

from celery_jobtrack.errors import SchemaMismatch
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.strategies.redis.fields import LAYOUT
from celery_jobtrack.strategies.sql.schema import SCHEMA_VERSION
from tests.unit.cli_fixtures import has_facts, new_shop

shop = pytest.fixture(new_shop, name="shop")


class VersionedStore(MemoryStore):
    """Stands in for tables on a server, which are never upgraded by themselves."""

    def __init__(self, stored: int, needed: int) -> None:
        super().__init__()
        self.stored = stored
        self.needed = needed

    def open(self):
        if not self.needed <= self.stored <= self.needed + 1:
            raise SchemaMismatch(f"its tables have version {self.stored}")

    def schema_versions(self):
        return self.stored, self.needed

    def upgrade(self):
        before, self.stored = self.stored, max(self.stored, self.needed)
        self.open()
        return before, self.stored


@pytest.fixture
def use(shop):
    def use_store(strategy):
        shop.app.conf.jobtrack_strategy = strategy
        return strategy

    return use_store


def test_upgrade_works_on_a_store_that_does_not_open(shop, use):
    store = use(VersionedStore(stored=1, needed=3))
    assert "version 1" in shop.error("status", code=1)
    assert shop.lines("db", "upgrade") == ["memory://: schema upgraded from version 1 to 3"]
    assert store.stored == 3
    assert shop.lines("db", "upgrade") == ["memory://: the schema has version 3 already"]
    assert shop.json("status")["schema_version"] == 3


def test_db_status_of_older_tables_is_exit_code_1(shop, use):
    use(VersionedStore(stored=1, needed=3))
    result = shop.run("db", "status")
    assert result.exit_code == 1
    assert has_facts(result.stdout.splitlines(), schema="version 1", **{"this code": "version 3"})
    assert result.stderr == (
        "Error: the schema is older than this code; run: celery -A … jobtrack db upgrade\n"
    )


@pytest.mark.parametrize(("stored", "code"), [(2, 0), (3, 0), (4, 1)])
def test_db_status_of_newer_tables_is_exit_code_1_only_where_they_are_too_new(shop, use, stored, code):
    use(VersionedStore(stored=stored, needed=2))
    assert shop.run("db", "status").exit_code == code
    assert shop.run("db", "upgrade").exit_code == code


def test_db_makes_the_tables_of_a_new_store(shop, use, tmp_path):
    url = use(f"sqlite:///{tmp_path}/jobs.db")
    assert shop.json("db", "status") == {"store": url, "stored": 0, "needed": SCHEMA_VERSION}
    assert has_facts(shop.lines("db", "status"), schema="none yet; it is made at the first use")
    assert shop.lines("db", "upgrade") == [f"{url}: schema made, version {SCHEMA_VERSION}"]
    assert shop.json("db", "upgrade") == {"store": url, "before": SCHEMA_VERSION, "after": SCHEMA_VERSION}
    assert has_facts(shop.lines("db", "status"), schema=f"version {SCHEMA_VERSION}")
    assert has_facts(shop.lines("status"), store=url, schema=f"version {SCHEMA_VERSION}")


def test_db_has_nothing_to_do_for_a_store_without_tables(shop):
    assert has_facts(shop.lines("db", "status"), schema="none is needed")
    assert shop.lines("db", "upgrade") == ["memory://: there is no schema to upgrade"]
    assert shop.json("db", "upgrade") == {"store": "memory://", "before": None, "after": None}


@pytest.mark.parametrize("layout", ["0", "99", "nonsense"])
def test_db_of_a_redis_with_another_layout_is_exit_code_1(shop, use, redis_url, redis_client, layout):
    use(redis_url)
    redis_client.hset("{jobtrack:default}", "layout", layout)
    for arguments in (("db", "status"), ("db", "upgrade"), ("status",)):
        result = shop.run(*arguments)
        assert result.exit_code == 1, arguments
        assert f"have layout {layout}, and this code writes layout {LAYOUT}" in result.stderr
    assert redis_client.hget("{jobtrack:default}", "layout") == layout.encode()


def test_db_of_a_redis_with_keys_of_others_is_exit_code_1(shop, use, redis_url, redis_client):
    use(redis_url)
    redis_client.hset("{jobtrack:default}", "mine", "1")
    assert "not celery-jobtrack's" in shop.error("db", "status", code=1)
    assert "not celery-jobtrack's" in shop.error("db", "upgrade", code=1)


def test_db_makes_the_layout_of_a_new_redis(shop, use, redis_url, redis_client):
    use(redis_url)
    assert shop.json("db", "status") == {"store": redis_url, "stored": 0, "needed": LAYOUT}
    assert redis_client.dbsize() == 0
    assert shop.lines("db", "upgrade") == [f"{redis_url}: schema made, version {LAYOUT}"]
    assert shop.lines("db", "upgrade") == [f"{redis_url}: the schema has version {LAYOUT} already"]
    assert has_facts(shop.lines("db", "status"), schema=f"version {LAYOUT}")
    assert shop.json("status")["schema_version"] == LAYOUT
