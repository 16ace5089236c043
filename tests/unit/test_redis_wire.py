import os
import threading

import pytest
from redis.exceptions import ConnectionError as Broken

from celery_jobtrack.model.state import JobState
from celery_jobtrack.strategies.redis import RedisStore, wire
from celery_jobtrack.strategies.redis.wire import Wire
from celery_jobtrack.testing import steps
from celery_jobtrack.testing.threads import Crowd
from tests.servers import redis as redis_servers
from tests.servers.redis import Redis
from tests.waiting import wait_until


def clients(redis_client) -> list[str]:
    return [one["addr"] for one in redis_client.client_list() if one["name"] == "celery-jobtrack"]


def test_one_connection_serves_one_thread(redis_store, redis_client):
    before = len(clients(redis_client))
    for number in range(5):
        steps.run(redis_store, f"j{number}")
    assert len(clients(redis_client)) == before
    assert len(redis_store._wire._idle) == 1


def test_stale_connection_is_replaced_without_a_word(redis_store, redis_client):
    steps.enqueue(redis_store)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    assert steps.start(redis_store).admitted


def enqueue_side_by_side(store, count):
    """Enqueues j0, j1, …, each when all of them have a connection."""
    steps.enqueue(store, "before")  # so that the script is known, and none is sent twice
    take, taken = store._wire._take, threading.Barrier(count)

    def take_together():
        connection = take()
        taken.wait(20)
        return connection

    with pytest.MonkeyPatch.context() as patch, Crowd(count) as crowd:
        patch.setattr(store._wire, "_take", take_together)
        crowd.together(lambda n: steps.enqueue(store, f"j{n}"))


def test_every_stale_connection_is_replaced(redis_store, redis_client):
    enqueue_side_by_side(redis_store, 5)
    assert len(redis_store._wire._idle) == 5
    redis_client.client_kill_filter(_type="normal", skipme=True)
    for number in range(5):
        assert steps.start(redis_store, f"j{number}", f"t{number}").admitted


def test_restarted_server_has_everything(tmp_path):
    with redis_servers.start() as server:
        store = RedisStore(server.url)
        store.open()
        steps.enqueue(store)
        server.restart()
        assert steps.start(store).admitted
        store.close()


def test_connections_that_rested_too_long_are_not_trusted(redis_store, monkeypatch):
    (connection, _), *_ = redis_store._wire._idle
    monkeypatch.setattr(wire, "IDLE_SECONDS", -1.0)
    steps.enqueue(redis_store)
    assert not connection.is_connected if hasattr(connection, "is_connected") else connection._sock is None


def test_no_more_connections_are_kept_than_said(redis_store, monkeypatch):
    monkeypatch.setattr(wire, "KEPT", 2)
    enqueue_side_by_side(redis_store, 8)
    assert len(redis_store._wire._idle) == 2


def test_answer_that_nobody_waited_for_is_not_given_to_the_next(redis_store, monkeypatch):
    """As when a soft time limit is raised between the question and its answer."""
    steps.enqueue(redis_store, "a")
    ask = wire.exchange

    def interrupted(connection, command):
        monkeypatch.setattr(wire, "exchange", ask)
        connection._sock.sendall(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(wire, "exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        redis_store.job("a")
    assert redis_store.job("b") is None
    assert steps.the_job(redis_store, "a").id == "a"


def test_script_that_arrived_before_its_connection_broke_is_repeated_safely(redis_store, monkeypatch):
    """The server did it, the answer was lost, and the wire asks again: as with a restart in between."""
    steps.group(redis_store)
    send = Wire._send
    lost = []

    def lose_the_first(self, command):
        answer = send(self, command)
        if not lost and b"EVAL" in command:
            lost.append(command)
            raise Broken("the connection broke")
        return answer

    monkeypatch.setattr(Wire, "_send", lose_the_first)
    for call in (
        lambda: steps.enqueue(redis_store, group_id="g"),
        lambda: steps.start(redis_store, group_id="g"),
        lambda: steps.retry(redis_store, group_id="g"),
        lambda: steps.start(redis_store, "job", "t2", retries=1, group_id="g"),
        lambda: steps.finish(redis_store, "job", "t2", retries=1, group_id="g"),
    ):
        lost.clear()
        call()
        assert lost
    job = steps.the_job(redis_store)
    assert (job.state, job.attempts) == (JobState.SUCCESS, 2)
    assert steps.the_group(redis_store).totals.succeeded == 1
    assert redis_store.counts() == {JobState.SUCCESS: 1}


@pytest.mark.filterwarnings("ignore:.* is multi-threaded:DeprecationWarning")  # pytest-xdist has a thread
def test_child_of_a_fork_has_connections_of_its_own(redis_store, redis_client):
    steps.enqueue(redis_store)
    claimant = redis_store.claimant
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            assert redis_store.claimant != claimant
            assert not redis_store._wire._idle
            assert steps.start(redis_store).admitted
            os.write(writing, b"1")
            ended = 0
        finally:
            os._exit(ended)
    assert os.waitpid(child, 0)[1] == 0
    os.close(writing)
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    assert len(redis_store._wire._idle) == 1
    assert steps.finish(redis_store).applied


def test_threads_that_end_leave_no_connection_behind(redis_store, redis_client):
    before = len(clients(redis_client))
    for number in range(20):
        thread = threading.Thread(target=steps.enqueue, args=(redis_store, f"j{number}"))
        thread.start()
        thread.join()
    assert len(clients(redis_client)) == before


def test_close_ends_the_connections(redis_url, redis_client):
    before = len(clients(redis_client))
    store = RedisStore(redis_url)
    store.open()
    assert len(clients(redis_client)) == before + 1
    store.close()
    wait_until(lambda: len(clients(redis_client)) == before, message="the server sees that it is closed")


def test_unix_socket_serves(tmp_path):
    class ByPath(Redis):
        def command(self):
            return [*super().command(), "--unixsocket", str(self.directory / "s"), "--unixsocketperm", "777"]

    with ByPath() as server:
        store = RedisStore(f"unix://{server.directory}/s?db=1")
        store.open()
        assert steps.enqueue(store).created
        store.close()
