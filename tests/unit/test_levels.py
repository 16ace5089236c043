"""Levels of queues without a worker: what is accepted, what Celery is told, in which order queues are looked
into."""

from __future__ import annotations

import pickle
import random
import uuid
from collections import Counter
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound
from kombu import Connection, Consumer, Queue

from celery_jobtrack import JobTrack, TrackableTask
from celery_jobtrack.config import Settings
from celery_jobtrack.errors import ConfigurationError, InvalidPayload, UnknownQueue
from celery_jobtrack.integration.levels.advice import begin_work, warnings_of
from celery_jobtrack.integration.levels.broker import Broker
from celery_jobtrack.integration.levels.connecting import options_for
from celery_jobtrack.integration.levels.numbers import MAX_PRIORITY
from celery_jobtrack.transport.order import QueueOrder, RedisKeys
from celery_jobtrack.transport.ordered import can_be_ordered, ordered
from tests.unit.apps import SmallApp

LEVELS = {"high": {"aliases": ["critical", "urgent"]}, "default": {}, "low": {}}
WEIGHTS = {"high": {"weight": 6}, "default": {"weight": 3}, "low": {"weight": 1}}


@pytest.fixture
def make_app():
    made = []

    def make(broker="memory://", **conf):
        app = Celery("levels", broker=broker, set_as_current=False)
        app.conf.update(jobtrack_strategy="memory://", **conf)
        made.append(JobTrack(app))
        return app

    yield make
    for jobtrack in made:
        jobtrack.close()
        jobtrack.app.close()


@pytest.fixture
def levelled():
    made = SmallApp(jobtrack_queues=LEVELS)
    yield made
    made.close()


def levels_of(app):
    return JobTrack.of(app).runtime.levels


# What is accepted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["high", "low"], "must be a mapping"),
        ("high", "must be a mapping"),
        ({}, "must be a mapping"),
        ({"high": None}, "options must be a mapping"),
        ({"high": ["critical"]}, "options must be a mapping"),
        ({"high": {"alias": ["critical"]}}, "'alias' is not known; did you mean 'aliases'?"),
        ({"high": {"x": 1}}, "known: aliases, weight"),
        ({"high": {"aliases": "critical"}}, "aliases must be a list"),
        ({"high": {"aliases": [""]}}, "not empty"),
        ({"high": {"aliases": ["low"]}, "low": {}}, "'low' is a level"),
        ({"high": {"aliases": ["high"]}}, "'high' is a level"),
        ({"high": {"aliases": ["a"]}, "low": {"aliases": ["a"]}}, "given to 'high' and to 'low'"),
        ({"high": {"weight": 2}, "low": {}}, "'low' has no weight; give each level one, or none"),
        ({"high": {"weight": 0}}, "more than 0"),
        ({"high": {"weight": -1}}, "more than 0"),
        ({"high": {"weight": True}}, "more than 0"),
        ({"high": {"weight": "6"}}, "more than 0"),
        ({"high": {"weight": float("inf")}}, "more than 0"),
        ({"high": {"weight": float("nan")}}, "more than 0"),
        ({1: {}}, "must be a string"),
        ({"a,b": {}}, "comma"),
        ({"a\0b": {}}, "control characters"),
    ],
)
def test_wrong_levels_are_refused_with_what_is_wrong(given, said):
    with pytest.raises(ConfigurationError, match="jobtrack_queues") as caught:
        Settings.read({"jobtrack_queues": given})
    assert said in str(caught.value)


def test_levels_that_would_share_a_queue_are_refused(make_app):
    with pytest.raises(ConfigurationError, match="leave one of them out"):
        levels_of(make_app(jobtrack_queues={"default": {}, "celery": {}}))
    with pytest.raises(ConfigurationError, match="alias 'celery'"):
        levels_of(make_app(jobtrack_queues={"default": {}, "low": {"aliases": ["celery"]}}))
    many = {f"level-{number}": {} for number in range(11)}
    assert levels_of(make_app(jobtrack_queues=many))
    with pytest.raises(ConfigurationError, match="10 levels at most"):
        levels_of(make_app("amqp://", jobtrack_queues=many))


def test_an_alias_that_is_a_queue_of_the_app_is_refused(make_app):
    app = make_app(jobtrack_queues=LEVELS, task_queues=[Queue("urgent")])
    with pytest.raises(ConfigurationError, match="'urgent' is a queue of task_queues already"):
        app.amqp.queues  # noqa: B018


# What Celery is told


def test_without_levels_nothing_changes(make_app):
    app, bare = make_app("redis://"), Celery("bare", broker="redis://", set_as_current=False)
    assert app.amqp.Connection is bare.amqp.Connection
    assert type(app.amqp.router) is type(bare.amqp.router)
    assert dict(app.amqp.queues) == dict(bare.amqp.queues)
    assert app.connection_for_read().transport_options == {}
    assert app.amqp.queues["anything"].name == "anything"


def test_a_level_is_found_by_all_of_its_names_and_consumed_once(make_app):
    queues = make_app(jobtrack_queues=LEVELS).amqp.queues
    assert {queues[name].name for name in ("high", "critical", "urgent")} == {"high"}
    assert queues["default"] is queues["celery"]
    assert sorted(queues.consume_from) == ["celery", "high", "low"]


def test_a_level_is_declared_as_celery_declares_a_missing_queue(make_app):
    for conf in ({}, {"task_create_missing_queue_type": "quorum"}, {"task_queue_max_priority": 5}):
        bare = Celery("bare", broker="redis://", set_as_current=False)
        bare.conf.update(conf)
        queues = make_app("redis://", jobtrack_queues=LEVELS, **conf).amqp.queues
        assert queues["high"] == bare.amqp.queues["high"]
        assert queues["default"] == bare.amqp.queues["celery"]


def test_queues_of_the_app_stay_as_they_are(make_app):
    own = [Queue("high", queue_arguments={"x-max-priority": 3}, routing_key="h"), Queue("mail")]
    for broker in ("redis://", "amqp://"):
        app = make_app(broker, jobtrack_queues=LEVELS, task_queues=own)
        assert app.amqp.queues["critical"].queue_arguments == {"x-max-priority": 3}
        assert app.amqp.queues["high"].routing_key == "h"
        assert {"high", "mail"} < set(app.amqp.queues.consume_from)
    assert any("'high' is declared in task_queues" in text for text in said_by(app))


def test_the_default_level_is_added_where_task_queues_leave_out_the_default_queue(make_app):
    bare = Celery("bare", set_as_current=False)
    app = make_app(jobtrack_queues=LEVELS, task_queues=[Queue("mail")])
    assert app.amqp.queues["default"] == bare.amqp.queues["celery"]
    assert "celery" in app.amqp.queues.consume_from


def consumed(queues):
    # Celery before 5.7 finds a queue by any of its names there.
    return sorted((queue.name, queue.queue_arguments) for queue in queues.consume_from.values())


def test_rabbitmq_has_one_queue_for_all_levels_beside_the_one_that_was_there(make_app):
    app = make_app("amqp://", jobtrack_queues=LEVELS)
    queues, both = app.amqp.queues, [("celery", None), ("celery.levels", {"x-max-priority": MAX_PRIORITY})]
    assert consumed(queues) == both
    assert {queues[name].name for name in ("high", "urgent", "default", "celery", "low")} == {"celery.levels"}
    # One consumer each, and what was sent before there were levels is not left behind.
    queues.select(["high", "low"])
    begin_work(levels_of(app), SimpleNamespace(prefetch_multiplier=1))
    assert consumed(queues) == both


def test_rabbitmq_with_weights_has_a_queue_for_each_level(make_app):
    queues = make_app("amqp://", jobtrack_queues=WEIGHTS).amqp.queues
    assert sorted(queues.consume_from) == ["celery", "high", "low"]
    assert queues["high"].queue_arguments is None


def test_quorum_queues_get_no_argument_that_they_refuse(make_app):
    app = make_app("amqp://", jobtrack_queues=LEVELS, task_default_queue_type="quorum")
    queues, levels = app.amqp.queues, levels_of(app)
    assert queues["high"].queue_arguments == {"x-queue-type": "quorum"}
    given = [levels.priority(queues[name], 9) for name in LEVELS]
    # RabbitMQ 4.0 to 4.2 knows two: up to 4, and above.
    assert [number > 4 for number in given] == [True, False, False]
    assert given == sorted(given, reverse=True)


# Routing


def test_routes_and_queues_of_tasks_go_to_levels(levelled):
    app = levelled.app
    app.conf.task_routes = {"routed": {"queue": "urgent"}, "elsewhere": "mail"}
    for name, options, queue in [
        ("routed", {}, "high"),
        ("elsewhere", {}, "mail"),
        ("elsewhere", {"queue": "low"}, "low"),
        ("other", {}, levelled.queue),
        ("other", {"queue": "default"}, levelled.queue),
        ("other", {"queue": "mail"}, "mail"),
        ("other", {"queue": Queue("own")}, "own"),
    ]:
        assert app.amqp.router.route(dict(options), name)["queue"].name == queue


def test_an_unknown_queue_is_refused_and_nothing_is_recorded(levelled):
    @levelled.task(name="levels.add")
    def add(x, y):
        return x + y

    with pytest.raises(UnknownQueue, match="did you mean 'critical'"):
        add.job(1, 2).on_queue("critcal").dispatch()
    with pytest.raises(UnknownQueue):
        add.apply_async((1, 2), queue="nowhere")
    with pytest.raises(UnknownQueue, match="member 0"):
        levelled.jobtrack.dispatch_many([add.s(1, 2).set(queue="nowhere")])
    assert levelled.recorded() == []


def test_a_queue_that_a_route_names_is_none_if_celery_may_not_create_it(levelled):
    levelled.app.conf.update(task_routes={"elsewhere": "mail"}, task_create_missing_queues=False)
    with pytest.raises(QueueNotFound):
        levelled.app.amqp.router.route({}, "elsewhere")


@pytest.mark.parametrize("priority", [11, 10, -1, True, 1.5, "9", None])
def test_a_wrong_number_is_refused(levelled, priority):
    @levelled.task(name="levels.wrong")
    def wrong():
        pass

    with pytest.raises(InvalidPayload, match="from 0 to 9"):
        wrong.job().with_priority(priority)


@pytest.mark.parametrize(
    ("broker", "native"),
    [
        ("redis://", 2),
        ("rediss://", 2),
        ("sentinel://host", 2),
        ("amqp://", 7),
        ("pyamqp://", 7),
        ("memory://", 7),
    ],
)
def test_numbers_are_what_the_broker_takes_for_them(make_app, broker, native):
    def body():
        pass

    task = make_app(broker).task(body, name="levels.number", base=TrackableTask, shared=False)
    assert task.job().with_priority(7).options["priority"] == native


def test_priorities_of_rabbitmq_put_levels_before_numbers(make_app):
    app = make_app("amqp://", jobtrack_queues=LEVELS)
    levels, queues = levels_of(app), app.amqp.queues
    given = [levels.priority(queues[name], number) for name in LEVELS for number in (9, 5, 0)]
    assert given == sorted(given, reverse=True)
    assert len(set(given)) == len(given)
    assert given[0] == MAX_PRIORITY
    assert levels.priority(queues["low"], None) == levels.priority(queues["low"], 0)
    # Of a job that was sent by one of a high level and was told to inherit its priority.
    assert levels.priority(queues["low"], levels.priority(queues["high"], 5)) == levels.priority(
        queues["low"], 5
    )
    # A retry names the queue as the broker does, and has its priority already.
    assert levels.priority(queues["celery.levels"], 42) == 42


# In which order queues are read


def drain(cycle, waiting):
    """Take everything: which queue each message came from."""
    cycle.update(list(waiting))
    taken = []
    while queue := next((name for name in cycle.consume(len(waiting)) if waiting[name]), None):
        waiting[queue] -= 1
        cycle.rotate(queue)
        taken.append(queue)
    return taken


def test_a_strict_order_lets_other_queues_take_turns_with_the_default_one():
    order = QueueOrder(queues=("high", "celery", "low"), others=1)
    taken = drain(order(), {"low": 2, "mail": 3, "celery": 3, "high": 2})
    assert taken[:2] == ["high"] * 2
    assert sorted(taken[2:4]) == sorted(taken[4:6]) == ["celery", "mail"]
    assert taken[-2:] == ["low"] * 2


def test_shares_are_kept_whatever_the_weights_and_evenly_spread():
    rng = random.Random(5)
    for _ in range(50):
        weights = tuple(rng.choice([0.5, 1, 2, 3, 7, 20]) for _ in range(rng.randrange(2, 6)))
        names = tuple("abcdef"[: len(weights)])
        order = QueueOrder(queues=names, others=len(names), weights=(*weights, 1.0))
        taken = drain(order(), dict.fromkeys(names, 600))[:600]
        for name, weight in zip(names, weights, strict=True):
            asked = 600 * weight / sum(weights)
            assert abs(taken.count(name) - asked) <= max(1.0, 0.02 * asked), weights
            first_half = taken[:300].count(name)
            assert abs(first_half - asked / 2) <= max(1.0, 0.04 * asked)


def test_a_queue_that_was_empty_does_not_catch_up():
    cycle = QueueOrder(queues=("a", "b"), others=2, weights=(1, 1, 1))()
    assert drain(cycle, {"a": 0, "b": 100}) == ["b"] * 100
    taken = drain(cycle, {"a": 50, "b": 50})
    assert taken[:10].count("a") in {5, 6}


def test_an_order_can_be_sent_to_another_process_and_compared():
    order = QueueOrder(queues=("a",), others=1, keys=RedisKeys(steps=(0, 3), sep="|"))
    assert pickle.loads(pickle.dumps(order)) == order
    assert hash(order) == hash(pickle.loads(pickle.dumps(order)))


def test_redis_is_asked_for_all_lists_of_a_level_before_those_of_the_next(make_app):
    from kombu.transport.redis import Channel

    app = make_app("redis://", jobtrack_queues=LEVELS)
    options = options_for(levels_of(app), {})
    asked = []
    connection = SimpleNamespace(send_command=lambda *command: asked.extend(command))
    channel = Channel.__new__(Channel)
    channel.__dict__.update(
        priority_steps=options["priority_steps"],
        global_keyprefix="",
        brpop_timeout=1,
        _active_queues=["low", "celery", "high"],
        active_fanout_queues=set(),
        client=SimpleNamespace(connection=connection),
        _queue_cycle=options["queue_order_strategy"](),
        closed=True,
    )
    channel._update_queue_cycle()
    for _ in range(2):
        asked.clear()
        channel._brpop_start()
        sep = Channel.sep
        lists = [
            f"{queue}{sep}{step}" if step else queue
            for queue in ("high", "celery", "low")
            for step in range(10)
        ]
        assert asked == ["BRPOP", *lists, 1]


def test_what_the_app_sets_for_its_transport_goes_before_the_levels(make_app):
    options = {"queue_order_strategy": "sorted", "priority_steps": [3, 6]}
    app = make_app("redis://", jobtrack_queues=LEVELS, broker_transport_options=options)
    assert app.connection_for_read().transport_options == options
    said = said_by(app)
    assert any("queue_order_strategy = 'sorted'" in text and "take it out" in text for text in said)
    assert any("priority_steps = [3, 6]" in text for text in said)


@pytest.mark.parametrize("transport", ["memory", "filesystem", "sqlalchemy"])
def test_transports_without_a_server_that_pushes_can_be_ordered(transport):
    from kombu.transport import get_transport_cls

    found = get_transport_cls(transport)
    assert can_be_ordered(ordered(found))
    assert ordered(found) is ordered(found)
    assert ordered(ordered(found)) is ordered(found)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_memory_broker_hands_out_the_levels_in_order(make_app, weighted):
    own = uuid.uuid4().hex  # the memory broker is one for the whole process
    given = WEIGHTS if weighted else LEVELS
    names = {level: f"{level}-{own}" for level in LEVELS}
    app = make_app(
        jobtrack_queues={names[level]: {**options, "aliases": []} for level, options in given.items()},
        task_default_queue=names["default"],
    )
    taken = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        for level in [*LEVELS] * 100:
            channel.basic_publish(channel.prepare_message(level), exchange="", routing_key=names[level])
        queues = [app.amqp.queues[name] for name in reversed(names.values())]

        def take(_body, message):
            taken.append(message.delivery_info["routing_key"].partition("-")[0])
            message.ack()

        with Consumer(connection, queues, callbacks=[take]):
            while len(taken) < 300:
                connection.drain_events(timeout=5)
    if weighted:
        assert Counter(taken[:100]) == {"high": 60, "default": 30, "low": 10}
    else:
        assert taken == ["high"] * 100 + ["default"] * 100 + ["low"] * 100


def test_connections_that_differ_in_nothing_share_a_pool(make_app):
    app = make_app("redis://localhost", jobtrack_queues=LEVELS)
    one, two = app.connection_for_read(), app.connection_for_read()
    assert one.__eqhash__() == two.__eqhash__()
    assert isinstance(one, Connection)


# What a worker says


def said_by(app, multiplier=1, only=None):
    app.amqp.queues.select(only)
    return list(warnings_of(levels_of(app), SimpleNamespace(prefetch_multiplier=multiplier)))


def test_a_worker_as_it_should_be_says_nothing(make_app):
    for broker in ("memory://", "redis://", "amqp://"):
        assert said_by(make_app(broker, jobtrack_queues=LEVELS)) == []


def test_a_worker_says_what_would_defeat_the_levels(make_app):
    app = make_app(jobtrack_queues=LEVELS)
    assert "set worker_prefetch_multiplier = 1" in said_by(app, multiplier=4)[0]
    assert "any number" in said_by(app, multiplier=0)[0]
    assert "does not consume 'default'" in said_by(app, only=["critical", "low"])[0]
    assert "add a level 'default'" in said_by(make_app(jobtrack_queues={"high": {}}))[0]
    assert "equal turns" in said_by(make_app("amqp://", jobtrack_queues=WEIGHTS))[0]
    quorum = make_app("amqp://", jobtrack_queues=LEVELS, task_default_queue_type="quorum")
    assert "quorum queues keep no strict order" in said_by(quorum)[0]


def test_the_kind_of_a_broker_is_known_without_connecting(make_app):
    for url, kind in [
        ("amqp://nowhere", Broker.RABBITMQ),
        ("amqp://one;amqp://two", Broker.RABBITMQ),
        ("redis://nowhere", Broker.REDIS),
        ("filesystem://", Broker.OTHER),
    ]:
        assert Broker.of(make_app(url)) is kind
