import logging

import pytest
from redis.exceptions import AuthenticationError

from celery_jobtrack.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.redis import RedisStore
from celery_jobtrack.strategies.redis.failures import translate
from celery_jobtrack.strategies.redis.urls import parse_place
from celery_jobtrack.testing import steps
from tests.servers.ports import free_port

ROOT = "{jobtrack:default}"


@pytest.fixture
def guarded(redis_server, redis_client):
    """The session's Redis, for a while with a user that needs a password."""
    redis_client.acl_setuser("guard", enabled=True, passwords=["+right"], keys=["*"], categories=["+@all"])
    yield f"redis://guard:{{}}@127.0.0.1:{redis_server.port}/7"
    redis_client.acl_deluser("guard")


def failure(url, **options):
    with pytest.raises(StoreUnavailable) as raised:
        RedisStore(url, **options).open()
    return str(raised.value)


def test_wrong_password_is_said_and_not_shown(guarded):
    text = failure(guarded.format("wr0ng"))
    assert "the user or the password in the URL is wrong" in text
    assert "wr0ng" not in text


def test_right_password_opens(guarded):
    store = RedisStore(guarded.format("right"))
    store.open()
    store.close()


def test_missing_password_is_said(redis_server, redis_client):
    redis_client.config_set("requirepass", "secret")
    try:
        text = failure(redis_server.url)
    finally:
        redis_client.config_set("requirepass", "")
    assert "it needs a password; write it into the URL" in text


def test_missing_password_of_a_socket_is_said_in_its_own_words(tmp_path):
    place = parse_place(f"unix://{tmp_path}/redis.sock")
    told = str(translate(AuthenticationError("NOAUTH Authentication required."), place, "default"))
    assert told.endswith("write it into the URL: unix://:password@/path")
    with_one = parse_place(f"unix://:secret@{tmp_path}/redis.sock")
    assert with_one.options["password"] == "secret"
    assert with_one.options["path"] == f"{tmp_path}/redis.sock"


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_certificate_that_is_not_there_is_named(redis_server, tmp_path, option):
    more = f"&ssl_keyfile={tmp_path}/none.pem" if option == "ssl_certfile" else ""
    text = failure(f"rediss://127.0.0.1:{redis_server.port}/0?{option}={tmp_path}/none.pem{more}")
    assert f"the file '{tmp_path}/none.pem' that {option} names is not there" in text


def test_encrypted_url_of_a_plain_port_is_told_of_tls(redis_server):
    seconds = "socket_timeout=0.3&socket_connect_timeout=0.3"
    text = failure(f"rediss://127.0.0.1:{redis_server.port}/0?{seconds}")
    assert "it is asked with TLS: check that this port speaks that" in text


def test_sentinel_url_of_a_plain_redis_says_so(redis_server):
    text = failure(f"sentinel://127.0.0.1:{redis_server.port}/0", options={"master_name": "jobs"})
    assert "no sentinel; name the sentinels, whose usual port is 26379" in text


def test_sentinels_that_do_not_answer_are_told_of_in_a_short_line():
    text = failure(f"sentinel://127.0.0.1:{free_port()}/0", options={"master_name": "jobs"})
    assert "No master found for 'jobs'; check that the sentinels run" in text
    assert "object at" not in text


def test_database_that_the_server_does_not_have_is_said(redis_server):
    text = failure(f"redis://127.0.0.1:{redis_server.port}/9999")
    assert "it has no database of the number in the URL" in text


def test_user_without_rights_is_told_what_it_needs(redis_client, guarded):
    redis_client.execute_command("ACL SETUSER", "guard", "resetkeys", "~other:*")
    assert "the keys {jobtrack:default}*" in failure(guarded.format("right"))


def test_nobody_at_the_address_is_said():
    text = failure(f"redis://:hidden@127.0.0.1:{free_port()}")
    assert "check that the server runs" in text
    assert ".;" not in text
    assert "hidden" not in text


def test_read_only_replica_is_said(redis_url, redis_client):
    redis_client.replicaof("127.0.0.1", free_port())
    try:
        text = failure(redis_url)
    finally:
        redis_client.replicaof("no", "one")
    assert "read-only replica" in text


def test_full_server_refuses_new_jobs_whole_and_lets_running_ones_end(redis_store, redis_client):
    steps.group(redis_store)
    steps.enqueue(redis_store, "running", group_id="g")
    steps.start(redis_store, "running", "t1")
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    redis_client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="it is full"):
            steps.enqueue(redis_store, "new", group_id="g")
        with pytest.raises(StoreUnavailable, match="it is full"):
            steps.start(redis_store, "unknown", "t2", group_id="g")
        assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
        assert steps.finish(redis_store, "running", "t1").applied
    finally:
        redis_client.config_set("maxmemory", "0")
    assert steps.the_job(redis_store, "running").state is JobState.SUCCESS


def test_server_that_drops_keys_is_warned_of_once(redis_store, redis_client, caplog):
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with caplog.at_level(logging.WARNING):
            redis_store.open()
            steps.enqueue(redis_store)
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    (record,) = caplog.records
    assert "maxmemory-policy noeviction" in record.getMessage()


@pytest.mark.parametrize(("version", "told"), [("6.0.16", "6.2 or newer"), ("5.0.3", "6.2 or newer")])
def test_old_server_is_refused(redis_url, monkeypatch, version, told):
    store = RedisStore(redis_url)
    answer = f"# Server\r\nredis_version:{version}\r\nmaxmemory_policy:noeviction\r\n".encode()
    monkeypatch.setattr(store._wire, "send", lambda _: answer)
    with pytest.raises(StoreUnavailable, match=told) as raised:
        store.open()
    assert version in str(raised.value)


def test_keys_of_another_layout_are_left_alone(redis_store, redis_client):
    steps.enqueue(redis_store)
    redis_client.hset(ROOT, "layout", "99")
    with pytest.raises(SchemaMismatch, match="have layout 99, and this code writes layout 1"):
        redis_store.open()


@pytest.mark.parametrize("kind", ["string", "hash"])
def test_key_that_is_not_ours_is_left_alone(redis_url, redis_client, kind):
    if kind == "string":
        redis_client.set(ROOT, "mine")
    else:
        redis_client.hset(ROOT, "mine", "1")
    before = redis_client.dump(ROOT)
    with pytest.raises(SchemaMismatch, match="not celery-jobtrack's"):
        RedisStore(redis_url).open()
    assert redis_client.dump(ROOT) == before
    assert redis_client.dbsize() == 1


def test_store_that_was_emptied_while_in_use_opens_again(redis_store, redis_client):
    redis_client.flushdb()
    steps.enqueue(redis_store)
    redis_store.open()
    assert redis_client.hget(ROOT, "layout") == b"1"


def test_options_in_the_url_do_not_change_how_answers_come(redis_url):
    store = RedisStore(f"{redis_url}?decode_responses=True&protocol=3&health_check_interval=1")
    store.open()
    assert steps.enqueue(store, args="ü").job.args == "ü"
    store.close()


def test_option_in_the_url_that_the_client_does_not_know_is_said(redis_url):
    with pytest.raises(ConfigurationError, match="none of redis-py's"):
        RedisStore(f"{redis_url}?nonsense=1").open()


def test_namespaces_share_a_database_and_nothing_else(redis_store, redis_url):
    other = RedisStore(redis_url, namespace="other")
    other.open()
    steps.enqueue(redis_store)
    assert other.job("job") is None
    assert other.counts() == {}
    other.close()


def test_frozen_server_is_given_up(redis_server, redis_url):
    store = RedisStore(f"{redis_url}?socket_timeout=0.2")
    store.open()
    redis_server.pause()
    try:
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            steps.enqueue(store)
    finally:
        redis_server.resume()
    assert steps.enqueue(store).job.id == "job"
    store.close()


def test_plain_url_of_a_cluster_says_how_it_is_written(redis_cluster_server):
    told = []
    for node in redis_cluster_server.nodes:
        store = RedisStore(f"redis://127.0.0.1:{node.port}")
        try:
            store.open()
        except StoreUnavailable as error:
            told.append(str(error))
        store.close()
    assert len(told) == 2, "one of the three has the slot"
    assert all("write redis+cluster://" in text for text in told)


def test_refusal_of_the_server_is_passed_on(redis_store):
    with pytest.raises(StoreUnavailable, match="not a float"):
        redis_store._run("by_time", b":nowhere", b"no number", b"1")
