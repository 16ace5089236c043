"""What a worker gets of a bulk dispatch: on Redis, byte for byte what apply_async would have sent."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone

import pytest
import redis
from celery import Celery, signals
from kombu import Exchange, Queue

from celery_jobtrack import JobTrack, TrackableTask
from celery_jobtrack.integration.bulk.packing import Packer
from celery_jobtrack.integration.bulk.shape import Shaped

LATER = datetime(2099, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
PRIORITY_STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")


def nothing(*args, **kwargs):
    """The body of every task here; nobody runs it."""


class Wire:
    """An app on a Redis broker, and what stands in its lists."""

    def __init__(self, url, **conf):
        self.app = Celery("wire", broker=url, set_as_current=False)
        self.app.conf.update(
            jobtrack_strategy="memory://", task_ignore_result=True, jobtrack_park_after=None, **conf
        )
        self.jobtrack = JobTrack(self.app)
        self.client = redis.Redis.from_url(url)

    def task(self, **options):
        return self.app.task(**{"base": TrackableTask, "shared": False, "name": "wire.task", **options})

    def take(self):
        """All messages by the list in which they stood, the oldest first; without what differs by job."""
        found = {}
        for key in sorted(self.client.scan_iter()):
            if self.client.type(key) == b"list":
                found[key] = [_comparable(text) for text in reversed(self.client.lrange(key, 0, -1))]
                self.client.delete(key)
        return found

    def close(self):
        self.client.close()
        self.jobtrack.close()
        self.app.close()


def _comparable(text):
    message = json.loads(text)
    own = {
        message["headers"]["id"]: "<id>",
        message["properties"]["delivery_tag"]: "<tag>",
    }
    written = json.dumps(message)
    for value, name in own.items():
        written = written.replace(value, name)
    message = json.loads(written)
    if message["headers"].get("compression") is None and message["content-type"] == "application/json":
        message["body"] = json.loads(base64.b64decode(message["body"]))
    return message


@pytest.fixture
def make_wire(redis_url):
    made = []

    def make(**conf):
        made.append(Wire(redis_url, **conf))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


@pytest.fixture
def listener():
    heard = []

    def on_publish(sender, headers, **about):
        heard.append((sender, headers["id"], sorted(about)))

    signals.before_task_publish.connect(on_publish)
    signals.after_task_publish.connect(on_publish)
    yield heard
    signals.before_task_publish.disconnect(on_publish)
    signals.after_task_publish.disconnect(on_publish)


def both(wire, signatures):
    """What apply_async puts into Redis for these signatures, and what dispatch_many does."""
    for signature in signatures:
        signature.clone().apply_async(tags=["t"])
    one_by_one = wire.take()
    for signature in signatures:
        signature.set(tags=["t"])
    report = wire.jobtrack.dispatch_many(signatures)
    assert (report.total, report.sent) == (len(signatures), len(signatures))
    return one_by_one, wire.take()


ARGUMENTS = [
    ((), {}),
    ((1, "two", None, True, 3.5), {}),
    (
        ("é ☃ 𝄞", "it's", 'a "quoted" one', "back\\slash", "line\nbreak\x00"),
        {"key": {"nested": [1, {"a": ()}]}},
    ),
    (([1, [2, [3, [4]]]], {"x": "y"}), {}),
    ((LATER, timedelta(0).total_seconds()), {"when": LATER}),
    (("long " * 1000,), {"long": "x" * 2000}),
]


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_bulk_message_is_that_of_apply_async_whatever_the_arguments(make_wire, args, kwargs):
    wire = make_wire()
    task = wire.task()(nothing)

    one_by_one, many = both(wire, [task.s(*args, **kwargs) for _ in range(3)])

    assert many == one_by_one
    assert len(many[b"celery"]) == 3


OPTIONS = {
    "queue": {"queue": "elsewhere"},
    "priority": {"priority": 6},
    "headers": {"headers": {"mine": {"deep": [1, 2]}}},
    "serializer": {"serializer": "pickle"},
    "msgpack": {"serializer": "msgpack"},
    "compression": {"compression": "zlib"},
    "limits": {"time_limit": 30, "soft_time_limit": 20},
    "shadow": {"shadow": "another name"},
    "ignored": {"ignore_result": True},
    "kept": {"ignore_result": False},
    "eta": {"eta": LATER},
    "expires": {"expires": LATER.isoformat()},
    "root": {"root_id": "a-root", "parent_id": "a-parent"},
    "delivery": {"delivery_mode": 1},
    "topic": {"queue": "topical", "routing_key": "a.b"},
    "argsrepr": {"argsrepr": "(hidden)"},
    "property": {"reply_to": "somebody", "app_id": "mine"},
    "no retry": {"retry": False},
}


@pytest.mark.parametrize("listened", [False, True], ids=["nobody listens", "somebody listens"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_bulk_message_is_that_of_apply_async_whatever_the_options(make_wire, request, options, listened):
    if listened:
        request.getfixturevalue("listener")
    topics = Exchange("topics", type="topic")
    queues = [Queue("celery"), Queue("elsewhere"), Queue("topical", topics, routing_key="a.*")]
    wire = make_wire(task_queues=queues, accept_content=["json", "pickle", "msgpack"])
    with wire.app.connection_for_write() as connection:
        for queue in queues:
            queue(connection.default_channel).declare()
    task = wire.task()(nothing)

    one_by_one, many = both(wire, [task.s(number).set(**options) for number in range(3)])

    if "expires" in options:  # what is left of it is a number that shrinks
        for messages in (*one_by_one.values(), *many.values()):
            for message in messages:
                assert message["properties"].pop("expiration")
    assert many == one_by_one
    assert sum(map(len, many.values())) == 3


def test_bulk_messages_of_stamped_and_linked_signatures_are_those_of_apply_async(make_wire):
    wire = make_wire()
    task = wire.task()(nothing)

    def signatures():
        linked = task.s(1).set(link=task.s("then"), link_error=[task.si("alas")])
        stamped = task.s(2)
        stamped.stamp(order="o-1")
        return [linked, stamped, task.s(3), linked, stamped]

    one_by_one, many = both(wire, signatures())

    assert many == one_by_one


def test_bulk_messages_follow_routes_and_the_options_of_tasks(make_wire):
    routes = {
        "wire.task": {"queue": "routed", "priority": 3},
        "wire.other.*": {"queue": "others", "priority": 9},
    }
    wire = make_wire(task_routes=routes)
    task = wire.task()(nothing)
    other = wire.task(name="wire.other.one", time_limit=7)(nothing)

    one_by_one, many = both(
        wire,
        [
            task.s(1),
            other.s(1),
            task.s(2),
            other.s(2),
            task.s(
                3,
            ).set(priority=0),
        ],
    )

    assert many == one_by_one
    assert set(many) == {
        f"routed{PRIORITY_STEPS[1]}".encode(),
        f"others{PRIORITY_STEPS[3]}".encode(),
        b"routed",
    }


def test_bulk_messages_follow_a_router_that_looks_at_the_arguments(make_wire):
    def by_size(name, args, kwargs, options, task=None, **about):
        return {"queue": "large" if args[0] > 2 else "small"}

    wire = make_wire(task_routes=[by_size])
    task = wire.task()(nothing)

    one_by_one, many = both(wire, [task.s(number) for number in range(5)])

    assert many == one_by_one
    assert {key: len(found) for key, found in many.items()} == {b"small": 3, b"large": 2}


def test_bulk_message_is_what_an_overridden_apply_async_makes_of_it(make_wire):
    class Signing(TrackableTask):
        def apply_async(self, args=None, kwargs=None, **options):
            headers = {**(options.pop("headers", None) or {}), "signed": sum(args)}
            return super().apply_async(args, kwargs, headers=headers, **options)

    wire = make_wire()
    task = wire.task(base=Signing)(nothing)

    one_by_one, many = both(wire, [task.s(number, 10) for number in range(3)])

    assert many == one_by_one
    assert [message["headers"]["signed"] for message in many[b"celery"]] == [10, 11, 12]


def test_bulk_message_of_countdown_counts_from_its_own_dispatch(make_wire):
    wire = make_wire()
    task = wire.task()(nothing)
    before = datetime.now(timezone.utc)

    wire.jobtrack.dispatch_many(task.s(number).set(countdown=3600) for number in range(3))

    etas = [datetime.fromisoformat(message["headers"]["eta"]) for message in wire.take()[b"celery"]]
    assert all(before <= eta - timedelta(hours=1) <= datetime.now(timezone.utc) for eta in etas)
    assert len(set(etas)) == 3


def test_bulk_keeps_of_each_job_what_apply_async_keeps(make_wire):
    wire = make_wire()
    task = wire.task()(nothing)
    arguments = [((number, "é'\"\\"), {"token": "secret", "n": number}) for number in range(3)]

    def recorded():
        jobs = sorted(wire.jobtrack.inspect.jobs(tag="kept").items, key=lambda job: job.args)
        found = []
        for job in jobs:
            message = wire.jobtrack.store.message(job.id).decode().replace(job.id, "<id>")
            about = (job.task, job.queue, job.args, job.kwargs, job.tags, job.state, job.root_id == job.id)
            found.append((about, message))
            wire.jobtrack.cancel(job.id)
        wire.jobtrack.prune(older_than=0)
        return found

    for args, kwargs in arguments:
        task.apply_async(args, kwargs, tags=["kept"])
    one_by_one = recorded()
    wire.jobtrack.dispatch_many(task.s(*args, **kwargs).set(tags=["kept"]) for args, kwargs in arguments)

    assert recorded() == one_by_one
    assert len(one_by_one) == 3


def test_bulk_makes_messages_after_the_first_by_its_shape(make_wire):
    wire = make_wire()
    task = wire.task()(nothing)
    packer = Packer(wire.jobtrack.runtime)

    parcels = [packer.pack(task.s(number).set(priority=number % 2), number) for number in range(6)]

    assert [isinstance(parcel, Shaped) for parcel in parcels] == [False, False, True, True, True, True]


def test_bulk_tells_listeners_of_every_message_once(make_wire, listener):
    wire = make_wire()
    task = wire.task()(nothing)

    wire.jobtrack.dispatch_many([task.s(number) for number in range(3)], key="heard")

    sent = [message["headers"]["task"] for message in wire.take()[b"celery"]]
    assert len(sent) == 3
    ids = [job_id for _, job_id, _ in listener]
    assert sorted(ids) == sorted(2 * list(dict.fromkeys(ids)))
    assert len(set(ids)) == 3


def test_bulk_sends_what_a_listener_makes_of_a_message(make_wire):
    wire = make_wire()
    task = wire.task()(nothing)

    def stamp(headers, body, **about):
        headers["traced"] = body[0][0] * 10

    signals.before_task_publish.connect(stamp)
    try:
        wire.jobtrack.dispatch_many(task.s(number) for number in range(3))
    finally:
        signals.before_task_publish.disconnect(stamp)

    assert [message["headers"]["traced"] for message in wire.take()[b"celery"]] == [0, 10, 20]


def test_bulk_sends_monitoring_events_where_they_are_on(make_wire):
    wire = make_wire(task_send_sent_event=True)
    task = wire.task()(nothing)
    with wire.client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.psubscribe("*celeryev*")
        heard.get_message(timeout=5)  # the subscription holds

        wire.jobtrack.dispatch_many(task.s(number) for number in range(3))

        events = [_event(heard.get_message(timeout=5)) for _ in range(3)]
    assert [event["args"] for event in events] == ["(0,)", "(1,)", "(2,)"]
    assert {event["queue"] for event in events} == {"celery"}
    assert {event["uuid"] for event in events} == {job.id for job in wire.jobtrack.inspect.jobs().items}
    assert len(wire.take()[b"celery"]) == 3


def _event(message):
    event = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
    return event[0] if isinstance(event, list) else event


def test_bulk_inside_of_a_job_says_which_one_as_apply_async_does(make_wire):
    from celery._state import _task_stack

    wire = make_wire()
    task = wire.task()(nothing)
    _task_stack.push(task)
    task.push_request(id="the-parent", root_id="the-root", called_directly=False, delivery_info={})
    try:
        one_by_one, many = both(wire, [task.s(number) for number in range(3)])
    finally:
        task.pop_request()
        _task_stack.pop()

    assert many == one_by_one
    assert {message["headers"]["parent_id"] for message in many[b"celery"]} == {"the-parent"}
    assert {message["headers"]["root_id"] for message in many[b"celery"]} == {"the-root"}
