import pytest

from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.strategies.redis import RedisStore
from celery_jobtrack.strategies.redis.urls import parse_place
from celery_jobtrack.strategies.resolve import resolve

SENTINELS = "sentinel://:hidden@one:26380;sentinel://two/3"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://:hidden@db:7000/2", "redis://db:7000/2"),
        ("redis://me:hidden@db?db=4&socket_timeout=3", "redis://db:6379/4"),
        ("rediss://me:hidden@db/1?ssl_cert_reqs=CERT_NONE", "rediss://db:6379/1"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"),
        ("redis+cluster://me:hidden@one:7000,two", "redis+cluster://one:7000,two:6379"),
        ("redis+cluster://[::1]:7000", "redis+cluster://::1:7000"),
    ],
)
def test_url_is_shown_without_its_password(url, shown):
    place = parse_place(url)
    assert place.shown == shown
    assert place.options.get("password") == ("hidden" if "hidden" in url else None)


def test_options_in_the_url_are_those_of_the_client():
    place = parse_place("rediss://db?socket_timeout=3&ssl_cert_reqs=CERT_NONE&max_connections=7")
    assert place.options["socket_timeout"] == 3
    assert place.options["ssl_cert_reqs"] == "none"
    assert "max_connections" not in place.options
    assert place.encrypted


def test_sentinels_need_a_master():
    with pytest.raises(ConfigurationError, match="master_name"):
        parse_place(SENTINELS)
    place = parse_place(SENTINELS, {"master_name": "jobs", "sentinel_kwargs": {"password": "other"}})
    assert place.hosts == (("one", 26380), ("two", 26379))
    assert (place.master, place.options["db"], place.options["password"]) == ("jobs", 3, "hidden")
    assert place.sentinel_options == {"password": "other"}
    assert "hidden" not in place.shown
    assert "other" not in place.shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hidden@host:port/0",
        "redis://:hidden@host/high",
        "redis+cluster://:hidden@one/2",
        "redis://:hidden@[/0",
    ],
)
def test_url_that_cannot_be_read_is_refused_without_quoting_it(url):
    with pytest.raises(ConfigurationError) as raised:
        RedisStore(url)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("namespace", ["", "Shop", "a" * 25, "a}b"])
def test_namespace_must_fit_into_a_key(namespace):
    with pytest.raises(ConfigurationError, match="namespace"):
        RedisStore("redis://", namespace=namespace)


@pytest.mark.parametrize(
    ("conf", "shown"),
    [
        ({"result_backend": "redis://one/1", "broker_url": "redis://two/2"}, "redis://one:6379/1"),
        ({"result_backend": None, "broker_url": "redis://two/2;redis://three/2"}, "redis://two:6379/2"),
        ({"result_backend": "rpc://", "broker_url": ["redis://two/2"]}, "redis://two:6379/2"),
        ({"broker_url": "unix:///run/redis.sock"}, "unix:///run/redis.sock?db=0"),
        (
            {"broker_url": SENTINELS, "broker_transport_options": {"master_name": "jobs"}},
            "sentinel://one:26380;sentinel://two:26379/3?master_name=jobs",
        ),
    ],
)
def test_store_is_inferred_from_celerys_settings(conf, shown):
    assert resolve(None, conf, namespace="default").store.url == shown


def test_named_store_behind_sentinels_finds_its_master_in_celerys_settings():
    conf = {"result_backend_transport_options": {"master_name": "jobs"}}
    assert "master_name=jobs" in resolve(SENTINELS, conf, namespace="default").store.url


def test_encryption_of_the_setting_that_names_the_store_is_used():
    conf = {"broker_url": "redis://two", "broker_use_ssl": {"ssl_cert_reqs": "none", "ssl_ca_certs": "x.pem"}}
    place = resolve(None, conf, namespace="default").store._place
    assert place.encrypted
    assert place.options["ssl_ca_certs"] == "x.pem"
    assert not resolve("redis://one", conf, namespace="default").store._place.encrypted
