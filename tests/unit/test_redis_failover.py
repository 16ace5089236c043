import pytest
import redis
from redis.crc import key_slot

from celery_jobtrack.errors import StoreUnavailable
from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.redis import RedisStore
from celery_jobtrack.testing import steps
from tests.servers.ports import HOST, free_port
from tests.servers.redis_sentinel import MASTER
from tests.waiting import wait_until

ROOT = b"{jobtrack:default}"


@pytest.fixture
def cluster(redis_cluster_server):
    redis_cluster_server.flush()
    return redis_cluster_server


def owner(cluster, slot):
    for node in cluster.nodes:
        with cluster.client(node) as client:
            if client.execute_command("CLUSTER COUNTKEYSINSLOT", slot):
                return node
    return None


def trio_has(replica):
    with redis.Redis(host=HOST, port=replica.port) as client:
        return client.exists(ROOT + b":j:job")


def test_any_node_of_a_cluster_leads_to_the_one_of_our_keys(cluster):
    for number, node in enumerate(cluster.nodes):
        store = RedisStore(f"redis+cluster://{HOST}:{node.port}")
        store.open()
        steps.enqueue(store, f"j{number}")
        assert sum(store.counts().values()) == number + 1
        store.close()


def test_namespaces_lie_in_slots_of_their_own(cluster):
    stores = [RedisStore(cluster.url, namespace=name) for name in ("one", "two", "three", "four")]
    for store in stores:
        store.open()
        steps.enqueue(store)
        assert steps.start(store).admitted
        store.close()


def test_slot_that_moved_is_followed(cluster):
    store = RedisStore(cluster.url)
    store.open()
    steps.enqueue(store)
    slot = key_slot(ROOT)
    old = owner(cluster, slot)
    new = next(node for node in cluster.nodes if node is not old)
    move(cluster, slot, old, new)
    try:
        assert steps.start(store).admitted
        assert owner(cluster, slot) is new
    finally:
        move(cluster, slot, new, old)
    assert steps.finish(store).applied
    store.close()


def move(cluster, slot, source, target):
    with cluster.client(source) as one, cluster.client(target) as other:
        source_id, target_id = (client.execute_command("CLUSTER MYID").decode() for client in (one, other))
        other.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        one.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        while keys := one.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            one.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
        for client in (other, one):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)


def test_node_that_is_away_is_said(cluster):
    store = RedisStore(cluster.url)
    store.open()
    steps.enqueue(store)
    node = owner(cluster, key_slot(ROOT))
    node.kill()
    try:
        with pytest.raises(StoreUnavailable) as raised:
            steps.start(store)
        assert store.url in str(raised.value)
    finally:
        node.restart()
        wait_until(cluster._is_formed, 30, "the cluster is whole again")
    assert steps.start(store).admitted
    store.close()


def test_new_master_is_found_through_the_sentinel(redis_sentinel_trio):
    trio = redis_sentinel_trio
    store = RedisStore(trio.url, options={"master_name": MASTER})
    store.open()
    steps.enqueue(store)
    wait_until(lambda: trio_has(trio.replica), 10, "the replica has the job")
    trio.master.kill()

    def starts():
        try:
            return steps.start(store).admitted
        except StoreUnavailable:
            return False

    wait_until(starts, 30, "the new master serves")
    assert steps.finish(store).applied
    assert steps.the_job(store).state is JobState.SUCCESS
    store.close()


def test_master_that_was_replaced_while_connected_is_left(redis_sentinel_trio):
    """A planned failover: the old master lives on as a replica, and refuses to write."""
    trio = redis_sentinel_trio
    store = RedisStore(trio.url, options={"master_name": MASTER})
    store.open()
    steps.enqueue(store)
    wait_until(lambda: trio_has(trio.replica), 10, "the replica has the job")
    with redis.Redis(host=HOST, port=trio.sentinel.port) as client:
        client.execute_command("SENTINEL FAILOVER", MASTER)

    with redis.Redis(host=HOST, port=trio.replica.port) as client:
        wait_until(lambda: client.role()[0] == b"master", 20, "the replica was promoted")
    with redis.Redis(host=HOST, port=trio.master.port) as client:
        wait_until(lambda: client.role()[0] == b"slave", 20, "the old master follows")
    assert steps.start(store).admitted
    store.close()


def test_sentinels_that_are_away_are_said():
    store = RedisStore(f"sentinel://{HOST}:{free_port()}/0", options={"master_name": MASTER})
    with pytest.raises(StoreUnavailable, match="check that the sentinels run"):
        store.open()
