"""Chunks on Redis: how they are sent, and what is told of a Redis that takes them in part or goes away."""

from __future__ import annotations

import pytest
import redis
from celery import Celery

from celery_jobtrack import JobTrack, errors
from celery_jobtrack.integration.bulk import load
from celery_jobtrack.integration.bulk.redis_sending import is_plain_redis
from celery_jobtrack.model.state import JobState
from tests.unit.test_bulk_dispatch import counted


@pytest.fixture
def app(redis_url):
    with Celery("bulk", broker=redis_url, set_as_current=False) as made:
        waits = {"max_retries": 2, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        made.conf.update(
            jobtrack_strategy="memory://", task_ignore_result=True, task_publish_retry_policy=waits
        )
        yield made
        JobTrack.of(made).close()


@pytest.fixture
def jobtrack(app):
    return JobTrack(app)


@pytest.fixture
def noop(app, jobtrack):
    @app.task(name="bulk.noop", shared=False)
    def noop(*args):
        """Nobody runs it."""

    return noop


class Line:
    """Pipelines of one channel's class, which break when they are told to."""

    def __init__(self, monkeypatch, breaks):
        self.breaks = list(breaks)
        self.calls = 0
        execute = redis.client.Pipeline.execute

        def executing(pipeline, *args, **kwargs):
            names = {command[0][0] for command in pipeline.command_stack}
            if names != {"LPUSH"}:
                return execute(pipeline, *args, **kwargs)
            self.calls += 1
            how = self.breaks.pop(0) if self.breaks else None
            if how == "before":
                raise redis.ConnectionError("connection reset")
            answers = execute(pipeline, *args, **kwargs)
            if how == "after":
                raise redis.ConnectionError("connection reset")
            return answers

        monkeypatch.setattr(redis.client.Pipeline, "execute", executing)


def states(jobtrack):
    return sorted(job.state for job in jobtrack.inspect.jobs(limit=100).items)


def test_bulk_on_redis_is_one_command_for_each_queue(jobtrack, noop, redis_client):
    before = redis_client.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0)

    report = jobtrack.dispatch_many(noop.s(number).set(queue=f"q{number % 3}") for number in range(30))

    assert counted(report) == (30, 30, 0, 0, 0)
    assert [redis_client.llen(f"q{number}") for number in range(3)] == [10, 10, 10]
    assert redis_client.info("commandstats")["cmdstat_lpush"]["calls"] - before == 3


def test_bulk_on_redis_parts_what_is_large(jobtrack, noop, redis_client, monkeypatch):
    monkeypatch.setattr(load, "COMMAND", 10_000)

    jobtrack.dispatch_many(noop.s("x" * 4000) for _ in range(9))

    bodies = redis_client.lrange("celery", 0, -1)
    assert len(bodies) == len(set(bodies)) == 9
    assert redis_client.info("commandstats")["cmdstat_lpush"]["calls"] >= 5


def test_bulk_keeps_the_order_of_the_signatures(app, jobtrack, noop):
    jobtrack.dispatch_many((noop.s(number) for number in range(25)), chunk=10)

    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        assert [queue.get_nowait().payload[0][0] for _ in range(25)] == list(range(25))


def test_bulk_over_a_queue_that_redis_refuses_tells_which_jobs_were_not_sent(jobtrack, noop, redis_client):
    jobtrack.dispatch_many(noop.s().set(queue=queue) for queue in ("taken", "free"))  # declares them
    redis_client.delete("taken", "free")
    redis_client.set("taken", "no list")

    with pytest.raises(errors.DispatchFailed, match="WRONGTYPE") as failed:
        jobtrack.dispatch_many(
            noop.s(number).set(queue="taken" if number % 3 == 0 else "free") for number in range(9)
        )

    assert counted(failed.value.dispatched) == (9, 6, 0, 3, 0)
    assert redis_client.llen("free") == 6
    assert states(jobtrack) == [JobState.ENQUEUED] * 8 + [JobState.FAILURE] * 3


def test_bulk_sends_a_chunk_again_when_the_connection_breaks(jobtrack, noop, redis_client, monkeypatch):
    line = Line(monkeypatch, ["before"])

    report = jobtrack.dispatch_many(noop.s(number) for number in range(5))

    assert counted(report) == (5, 5, 0, 0, 0)
    assert line.calls == 2
    assert redis_client.llen("celery") == 5


def test_bulk_whose_connection_breaks_for_good_leaves_the_chunk_uncertain(
    jobtrack, noop, redis_client, monkeypatch
):
    jobtrack.dispatch_many([noop.s()])
    line = Line(monkeypatch, ["after", "before"])

    with pytest.raises(errors.DispatchFailed) as failed:
        jobtrack.dispatch_many((noop.s(number) for number in range(7)), chunk=5)

    assert counted(failed.value.dispatched) == (5, 0, 0, 0, 5)
    assert line.calls == 2  # kombu connects anew once
    # They may be there, and they are: the checker would send what is not.
    assert redis_client.llen("celery") == 6
    assert states(jobtrack) == [JobState.ENQUEUED] * 6


def test_bulk_to_a_redis_that_is_away_sends_nothing(app, jobtrack, noop):
    app.conf.broker_url = "redis://127.0.0.1:1/0"

    with pytest.raises(errors.DispatchFailed) as failed:
        jobtrack.dispatch_many(noop.s(number) for number in range(3))

    assert counted(failed.value.dispatched) == (3, 0, 0, 3, 0)
    assert states(jobtrack) == [JobState.FAILURE] * 3


def test_bulk_of_a_key_is_whole_after_an_interrupted_dispatch(jobtrack, noop, redis_client):
    redis_client.set("celery", "no list")
    with pytest.raises(errors.DispatchFailed):
        jobtrack.dispatch_many((noop.s(number) for number in range(9)), chunk=3, key="night")
    redis_client.delete("celery")

    report = jobtrack.dispatch_many((noop.s(number) for number in range(9)), chunk=3, key="night")

    assert counted(report) == (9, 9, 0, 0, 0)
    assert redis_client.llen("celery") == 9
    assert states(jobtrack) == [JobState.ENQUEUED] * 9


def test_bulk_through_a_topic_exchange_goes_the_way_of_kombu(app, jobtrack, noop, redis_client):
    from kombu import Exchange, Queue

    topics = Exchange("topics", type="topic")
    app.conf.task_queues = [Queue("celery"), Queue("ones", topics, "a.*"), Queue("all", topics, "#")]
    with app.connection_for_write() as connection:
        for queue in app.conf.task_queues:
            queue(connection.default_channel).declare()

    report = jobtrack.dispatch_many(
        noop.s(number).set(queue="ones", routing_key="a.b") if number % 2 else noop.s(number)
        for number in range(6)
    )

    assert counted(report) == (6, 6, 0, 0, 0)
    found = {name: redis_client.llen(name) for name in ("celery", "ones", "all")}
    assert found == {"celery": 3, "ones": 3, "all": 3}


def test_bulk_honours_a_key_prefix(app, jobtrack, noop, redis_client):
    app.conf.broker_transport_options = {"global_keyprefix": "mine:"}

    jobtrack.dispatch_many(noop.s(number) for number in range(3))

    assert redis_client.llen("mine:celery") == 3


def test_channel_that_somebody_has_changed_is_left_to_kombu(app):
    from kombu.transport.redis import Channel

    class Changed(Channel):
        def _put(self, queue, message, **options):
            super()._put(queue, message, **options)

    with app.connection_for_write() as connection:
        channel = connection.default_channel
        assert is_plain_redis(channel)
        channel._put = channel._put
        assert not is_plain_redis(channel)
    with app.connection_for_write() as connection:
        connection.transport.Channel = Changed
        assert not is_plain_redis(connection.channel())


def test_bulk_over_a_changed_channel_sends_all_the_same(app, jobtrack, noop, redis_client, monkeypatch):
    monkeypatch.setattr("celery_jobtrack.integration.bulk.sending.is_plain_redis", lambda channel: False)

    report = jobtrack.dispatch_many((noop.s(number) for number in range(7)), chunk=5)

    assert counted(report) == (7, 7, 0, 0, 0)
    assert redis_client.llen("celery") == 7


def test_batch_of_kombu_that_breaks_leaves_the_chunk_uncertain(
    app, jobtrack, noop, redis_client, monkeypatch
):
    monkeypatch.setattr("celery_jobtrack.integration.bulk.sending.is_plain_redis", lambda channel: False)
    with app.producer_or_acquire() as producer:
        if not getattr(producer, "supports_batch_publish", False):
            pytest.skip("kombu before 5.7 has no batches")
    jobtrack.dispatch_many([noop.s()])
    Line(monkeypatch, ["after"])

    with pytest.raises(errors.DispatchFailed, match="uncertain") as failed:
        jobtrack.dispatch_many((noop.s(number) for number in range(7)), chunk=5)

    assert counted(failed.value.dispatched) == (5, 0, 0, 0, 5)
