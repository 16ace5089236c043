"""What a worker gets of a bulk dispatch over brokers other than Redis: what apply_async would have sent."""

from __future__ import annotations

import json
import uuid

import pytest
from celery import Celery

from celery_jobtrack import JobTrack, TrackableTask
from celery_jobtrack.transport import filesystem

OPTIONS = {
    "none": {},
    "priority": {"priority": 6},
    "headers": {"headers": {"mine": {"deep": [1, 2]}}},
    "serializer": {"serializer": "pickle"},
    "compression": {"compression": "zlib"},
    "limits": {"time_limit": 30, "soft_time_limit": 20},
    "delivery": {"delivery_mode": 1},
    "property": {"reply_to": "somebody", "app_id": "mine"},
}


@pytest.fixture(params=["memory", "filesystem", "rabbitmq"])
def app(request, tmp_path):
    conf = {"jobtrack_strategy": "memory://", "task_ignore_result": True}
    conf["task_default_queue"] = f"bulk-{uuid.uuid4().hex}"
    if request.param == "filesystem":
        conf["broker_transport"] = f"{filesystem.__name__}:Transport"
    urls = {
        "memory": lambda: "memory://",
        "filesystem": lambda: f"filesystem:///{tmp_path}/broker",
        "rabbitmq": lambda: request.getfixturevalue("rabbitmq_server").new_database(),
    }
    with Celery("bulk", broker=urls[request.param](), set_as_current=False) as made:
        made.conf.update(conf)
        JobTrack(made)
        yield made
        JobTrack.of(made).close()


def taken(app):
    """All messages of the queue, the oldest first; without what differs by job."""
    found = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        while (message := channel.basic_get(app.conf.task_default_queue, no_ack=True)) is not None:
            about = {
                "headers": message.headers,
                "properties": {**message.properties},
                "type": (message.content_type, message.content_encoding),
                "body": repr(message.body),  # as it came, serialised
            }
            written = json.dumps(about, sort_keys=True, default=repr)
            for value in {message.headers["id"], message.properties.get("delivery_tag", "none")}:
                written = written.replace(value, "<own>")
            found.append(json.loads(written))
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_bulk_message_over_any_broker_is_that_of_apply_async(app, options):
    @app.task(base=TrackableTask, name="bulk.noop", shared=False)
    def noop(*args, **kwargs):
        """Nobody runs it."""

    arguments = [(number, "é'\"\\ ☃") for number in range(3)]
    for args in arguments:
        noop.apply_async(args, {"key": [1, {"two": None}]}, **options)
    one_by_one = taken(app)
    JobTrack.of(app).dispatch_many(noop.s(*args, key=[1, {"two": None}]).set(**options) for args in arguments)

    assert taken(app) == one_by_one
    assert len(one_by_one) == 3
