"""The file-system transport: what it promises while other processes write, read, bind and die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import ChannelError

from celery_jobtrack.transport import queue_folder
from celery_jobtrack.transport.folders import safe_name
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRANSPORT = "celery_jobtrack.transport.filesystem:Transport"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_channel(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens channels on connections of their own, as other processes have them."""
    with ExitStack() as stack:

        def opened(url: str = "filesystem://", **options: Any) -> Any:
            options = options or {"folder": str(tmp_path)}
            connection = Connection(url, transport=TRANSPORT, transport_options=options)
            stack.callback(connection.release)
            return connection.channel()

        yield opened


@pytest.fixture
def channel(open_channel: Callable[..., Any]) -> Any:
    return open_channel()


def put(channel: Any, queue: str, *bodies: str) -> None:
    for body in bodies:
        channel.basic_publish(channel.prepare_message(body), exchange="", routing_key=queue)


def take(channel: Any, queue: str) -> list[str]:
    taken = []
    while message := channel.basic_get(queue, no_ack=True):
        taken.append(message.body.decode())
    return taken


def folder(tmp_path: Path, queue: str = "q") -> Path:
    return tmp_path / "messages" / f"{safe_name(queue)}.queue"


# Order


def test_messages_come_out_in_the_order_in_which_channels_put_them_in(open_channel):
    one, two = open_channel(), open_channel()
    for number in range(20):
        put(one if number % 3 else two, "q", str(number))
    assert take(one, "q") == [str(number) for number in range(20)]


def test_messages_of_a_higher_priority_come_out_first_and_each_in_order(open_channel):
    one, two = open_channel(), open_channel()
    for number in range(30):
        message = one.prepare_message(str(number), priority=[None, 0, 9, 4, 12, -3][number % 6])
        one.basic_publish(message, exchange="", routing_key="q")
    assert two._size("q") == 30
    highest = [n for n in range(30) if n % 6 in {2, 4}]
    lowest = [n for n in range(30) if n % 6 in {0, 1, 5}]
    expected = [*highest, *(n for n in range(30) if n % 6 == 3), *lowest]
    assert take(two, "q") == [str(number) for number in expected]


def test_a_message_with_a_priority_that_is_put_back_keeps_its_place(channel, open_channel):
    for body in ("a", "b"):
        channel.basic_publish(channel.prepare_message(body, priority=7), exchange="", routing_key="q")
    put(channel, "q", "c")
    message = channel.basic_get("q")
    assert message.body == b"a"
    channel.basic_reject(message.delivery_tag, requeue=True)
    assert take(open_channel(), "q") == ["a", "b", "c"]


def test_purging_and_deleting_a_queue_reach_every_priority(channel, tmp_path):
    queue = Queue("q", Exchange("e"), routing_key="q")(channel)
    queue.declare()
    for priority in (0, 5):
        channel.basic_publish(channel.prepare_message("x", priority=priority), exchange="e", routing_key="q")
    assert channel.queue_purge("q") == 2
    channel.basic_publish(channel.prepare_message("y", priority=5), exchange="e", routing_key="q")
    queue.delete()
    assert not list((tmp_path / "messages").iterdir())


def test_a_damaged_message_with_a_priority_is_put_aside(channel, tmp_path, caplog):
    channel.basic_publish(channel.prepare_message("x", priority=5), exchange="", routing_key="q")
    (message,) = tmp_path.glob("messages/q~priorities/5.queue/*.msg")
    message.write_text("{")
    assert take(channel, "q") == []
    assert len(list(tmp_path.glob("messages/rejected/q~priorities/5.queue/*.msg"))) == 1
    assert "cannot be read" in caplog.text


def test_names_sort_in_order_when_the_clock_stands_still(monkeypatch):
    monkeypatch.setattr(queue_folder.time, "time_ns", lambda: 5)
    names = [queue_folder.next_name() for _ in range(200)]
    assert names == sorted(names)


def test_order_holds_when_files_are_added_while_the_folder_is_listed(channel, monkeypatch):
    list_folder = os.listdir

    def overtaken(path: str) -> list[str]:
        # Both are added behind the place that the listing has come to, and before its end.
        monkeypatch.setattr(queue_folder.os, "listdir", list_folder)
        put(channel, "q", "first", "second")
        return sorted(list_folder(path))[1:]

    monkeypatch.setattr(queue_folder.os, "listdir", overtaken)
    assert take(channel, "q") == ["first", "second"]


def test_a_rejected_message_goes_back_to_its_place_and_is_marked_redelivered(channel, open_channel):
    put(channel, "q", "first", "second")
    channel.basic_get("q").reject(requeue=True)
    again = open_channel().basic_get("q", no_ack=True)
    assert again.body == b"first"
    assert again.delivery_info["redelivered"] is True


def test_a_closing_channel_puts_back_what_was_not_acknowledged_in_order(open_channel):
    stopping = open_channel()
    put(stopping, "q", "0", "1", "2", "3")
    stopping.basic_get("q").ack()
    assert [stopping.basic_get("q").body for _ in range(2)] == [b"1", b"2"]
    stopping.close()
    assert take(open_channel(), "q") == ["1", "2", "3"]


def test_a_rejected_message_goes_back_to_its_own_queue_only(channel):
    exchange = Exchange("shared")
    for name in "a", "b":
        Queue(name, exchange, "key")(channel).declare()
    channel.basic_publish(channel.prepare_message("x"), exchange="shared", routing_key="key")
    assert take(channel, "b") == ["x"]
    channel.basic_get("a").reject(requeue=True)
    assert (channel._size("a"), channel._size("b")) == (1, 0)


# Atomicity


def test_a_reader_never_sees_a_message_before_it_is_complete(channel, open_channel, monkeypatch):
    reader = open_channel()
    replace, seen = os.replace, []

    def look_first(source, target):
        seen.append((take(reader, "q"), reader._size("q"), reader._purge("q")))
        replace(source, target)

    monkeypatch.setattr(queue_folder.os, "replace", look_first)
    put(channel, "q", "whole")
    assert seen == [([], 0, 0)]
    assert take(reader, "q") == ["whole"]


def test_a_write_that_fails_leaves_nothing_and_says_what_to_do(channel, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(queue_folder.os, "replace", full)
    with pytest.raises(ChannelError, match=r"queue 'q'.*No space left.*free space"):
        put(channel, "q", "x")
    assert list(folder(tmp_path).iterdir()) == []


def test_of_two_consumers_that_want_the_same_message_one_gets_it(channel, open_channel, monkeypatch):
    rival = open_channel()
    put(channel, "q", "1", "2")
    rename, rivals = os.rename, []

    def rival_first(source, target):
        monkeypatch.setattr(queue_folder.os, "rename", rename)
        rivals.append(rival.basic_get("q", no_ack=True).body)
        rename(source, target)

    monkeypatch.setattr(queue_folder.os, "rename", rival_first)
    assert take(channel, "q") == ["2"]
    assert rivals == [b"1"]


def test_a_claim_of_a_killed_consumer_is_put_back(channel, open_channel, tmp_path, monkeypatch):
    put(channel, "q", "1")
    (message,) = folder(tmp_path).glob("*.msg")
    message.rename(message.with_suffix(".claim"))
    assert take(open_channel(), "q") == []  # its owner may still be reading
    monkeypatch.setattr(queue_folder, "CLAIM_LIFETIME", -1.0)
    consumer = open_channel()
    assert consumer.basic_get("q") is None  # the look that finds it
    consumer._incoming("q")._scan_ends = 0.0
    assert take(consumer, "q") == ["1"]


def test_a_consumer_that_was_frozen_in_its_claim_does_not_deliver_what_another_took(
    channel, open_channel, tmp_path
):
    put(channel, "q", "1")
    frozen, decode, rivals = open_channel(), channel._decode, []

    def thaws_late(data):
        (claim,) = folder(tmp_path).glob("*.claim")
        claim.rename(claim.with_suffix(".msg"))  # what a sweep does
        rivals.extend(take(channel, "q"))
        return decode(data)

    frozen._decode = thaws_late
    assert take(frozen, "q") == []
    assert rivals == ["1"]


# Damaged messages


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b'{"body": "eA==", "prop',
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"properties": {"delivery_tag": "1", "delivery_info": null}}',
        b'{"body": "e", "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"}}',
    ],
)
def test_a_damaged_message_is_moved_aside_and_the_next_is_delivered(channel, tmp_path, caplog, damaged):
    put(channel, "q", "damaged", "good")
    file = min(folder(tmp_path).iterdir())
    file.write_bytes(damaged)
    assert take(channel, "q") == ["good"]
    rejected = tmp_path / "messages" / "rejected" / "q.queue" / file.name
    assert rejected.read_bytes() == damaged
    assert str(rejected) in caplog.text
    assert "look at it" in caplog.text
    assert channel._size("q") == 0


def test_a_folder_in_a_messages_place_does_not_stop_the_queue(channel, tmp_path):
    put(channel, "q", "good")
    (folder(tmp_path) / "0.msg").mkdir()
    assert take(channel, "q") == ["good"]


# Names of queues

ODD_NAMES = [
    "plain",
    "Plain",
    "a.b",
    "b",
    "a/b",
    "..",
    ".",
    "../../escape",
    "/absolute",
    "celery@host.celery.pidbox",
    "host.celery.pidbox",
    "schlüssel",
    "schlu\u0308ssel",
    "队列",
    "x" * 3000,
    "x" * 2999,
    "with space",
    "new\nline",
    "rejected",
    "",
    "\udcff",
]


def test_odd_queue_names_neither_mix_nor_leave_the_folder(channel, tmp_path):
    for number, name in enumerate(ODD_NAMES):
        put(channel, name, str(number)) if name else channel._put(name, message(channel, str(number)))
    assert [take(channel, name) for name in ODD_NAMES] == [[str(n)] for n in range(len(ODD_NAMES))]
    assert {path.name for path in tmp_path.iterdir()} == {"messages"}
    assert len(list((tmp_path / "messages").iterdir())) == len(ODD_NAMES)


def test_odd_queue_and_exchange_names_can_be_bound(channel, tmp_path):
    for name in filter(None, ODD_NAMES[:-1]):
        Queue(name, Exchange(name), name)(channel).declare()
        channel.basic_publish(channel.prepare_message(name), exchange=name, routing_key=name)
        assert take(channel, name) == [name]
    assert {path.name for path in tmp_path.iterdir()} == {"messages", "control"}


def message(channel: Any, body: str) -> dict[str, Any]:
    prepared = channel.prepare_message(body)
    channel._inplace_augment_message(prepared, "", "")
    return prepared


# Size, purge, delete


def test_size_and_purge_count_their_queue_only(channel, open_channel):
    put(channel, "q", "1", "2", "3")
    put(channel, "q.q", "4")
    assert channel.queue_declare("q", passive=True).message_count == 3
    assert open_channel().queue_purge("q") == 3
    assert (channel._size("q"), channel._size("q.q"), channel._size("never used")) == (0, 1, 0)
    assert channel.queue_purge("never used") == 0


def test_a_deleted_queue_is_gone_with_its_messages_and_bindings(channel, open_channel, tmp_path):
    bound = Queue("q", Exchange("e"), "key")(channel)
    bound.declare()
    put(channel, "q", "1")
    bound.delete()
    assert open_channel().get_table("e") == []
    assert not folder(tmp_path).exists()
    put(channel, "q", "2")
    assert take(channel, "q") == ["2"]


def test_a_publisher_makes_a_folder_again_that_is_removed_under_its_hands(channel, tmp_path, monkeypatch):
    makedirs, removed = os.makedirs, []

    def remove_once(path, exist_ok):
        makedirs(path, exist_ok=exist_ok)
        if not removed:
            removed.append(path)
            Path(path).rmdir()

    monkeypatch.setattr(queue_folder.os, "makedirs", remove_once)
    put(channel, "q", "1")
    assert removed
    assert take(channel, "q") == ["1"]


# Bindings


def test_fanout_puts_one_copy_into_each_bound_queue(channel, open_channel):
    exchange = Exchange("all", type="fanout")
    for name, key in ("a", ""), ("b", ""), ("b", "again"):
        Queue(name, exchange, key)(channel).declare()
    publisher = open_channel()
    exchange(publisher).declare()
    publisher.basic_publish(publisher.prepare_message("x"), exchange="all", routing_key="")
    assert (take(channel, "a"), take(channel, "b")) == (["x"], ["x"])


def test_an_unbound_queue_gets_no_more(channel):
    bound = Queue("q", Exchange("e"), "key")(channel)
    bound.declare()
    bound.unbind_from(Exchange("e"), "key")
    assert channel.get_table("e") == []


def test_bindings_are_written_again_when_the_folder_was_emptied(channel, open_channel, tmp_path):
    Queue("q", Exchange("e"), "key")(channel).declare()
    (table,) = (tmp_path / "control").glob("*.exchange")
    table.unlink()
    channel.basic_publish(channel.prepare_message("x"), exchange="e", routing_key="key")
    assert take(channel, "q") == ["x"]
    assert json.loads(table.read_text()) == [["key", "", "q"]]


def test_an_unreadable_binding_table_is_made_anew(channel, tmp_path, caplog):
    bound = Queue("q", Exchange("e"), "key")(channel)
    bound.declare()
    (table,) = (tmp_path / "control").glob("*.exchange")
    table.write_text('[["key", "", "q"]]]')
    assert [row.queue for row in channel.get_table("e")] == ["q"]
    assert str(table) in caplog.text


def test_two_brokers_in_one_process_do_not_share_bindings(open_channel, tmp_path):
    for name in "one", "two":
        channel = open_channel(folder=str(tmp_path / name))
        Queue("q", Exchange("e"), "key")(channel).declare()
        assert [row.queue for row in channel.get_table("e")] == ["q"]


# Where the folders are


def test_the_path_of_the_url_names_the_folder(open_channel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(open_channel("filesystem:///jobs", polling_interval=0.05), "q", "1")
    absolute = open_channel(f"filesystem:///{tmp_path}/jobs", polling_interval=0.05)
    assert take(absolute, "q") == ["1"]


def test_without_a_folder_the_error_says_how_to_name_one(open_channel):
    with pytest.raises(ValueError, match="filesystem:///jobs"):
        open_channel(polling_interval=0.05)


def test_kombus_folder_options_keep_their_meaning(open_channel, tmp_path):
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    control = str(tmp_path / "c")
    here = open_channel(data_folder_in=a, data_folder_out=b, control_folder=control)
    there = open_channel(data_folder_in=b, data_folder_out=a, control_folder=control)
    put(here, "q", "hello")
    assert take(here, "q") == []
    there.basic_get("q").reject(requeue=True)
    assert take(there, "q") == ["hello"]
    Queue("q", Exchange("e"), "key")(here).declare()
    assert (tmp_path / "c" / "e.exchange").exists()


def test_processed_messages_are_kept_on_request(open_channel, tmp_path):
    channel = open_channel(folder=str(tmp_path), store_processed=True)
    put(channel, "q", "1")
    assert take(channel, "q") == ["1"]
    assert len(list((tmp_path / "processed" / "q.queue").iterdir())) == 1


def test_broker_transport_overrides_the_scheme_of_the_url(tmp_path):
    app = Celery(broker=f"filesystem:///{tmp_path}", set_as_current=False)
    app.conf.broker_transport = TRANSPORT
    for connection in app.connection_for_write(), app.connection_for_read().clone():
        with connection:
            assert connection.transport.folders.incoming == tmp_path / "messages"
            assert connection.transport.polling_interval == 0.05


# Waiting


def test_a_full_prefetch_is_not_waited_for_a_whole_polling_interval(open_channel, tmp_path):
    channel = open_channel(folder=str(tmp_path), polling_interval=30)
    connection = channel.connection.client
    got: list[Any] = []
    queue = Queue("q", Exchange("e"), "q")
    with Consumer(channel, [queue], on_message=got.append, prefetch_count=1):
        put(channel, "q", "1", "2")
        connection.drain_events(timeout=30)
        finishing = threading.Timer(0.05, got[0].ack)
        finishing.start()
        started = time.monotonic()
        while len(got) == 1:
            # Celery up to 5.6 acknowledges between two calls, so none may last while nothing can come.
            called = time.monotonic()
            with suppress(TimeoutError):
                connection.drain_events(timeout=30)
            assert time.monotonic() - called < 5
            assert time.monotonic() - started < 10
        finishing.join()
    assert [message.body for message in got] == [b"1", b"2"]


def test_waiting_ends_with_its_timeout(channel):
    with Consumer(channel, [Queue("q", Exchange("e"), "q")]), pytest.raises(TimeoutError):
        channel.connection.client.drain_events(timeout=0.01)


# Many processes

BIND = """
import sys
from kombu import Connection, Exchange, Queue
with Connection("filesystem://", transport=sys.argv[1], transport_options={"folder": sys.argv[2]}) as c:
    sys.stdin.readline()
    for number in range(25):
        Queue(f"{sys.argv[3]}-{number}", Exchange("e", type="fanout"), "")(c.default_channel).declare()
"""

PUBLISH = """
import sys
from kombu import Connection
with Connection("filesystem://", transport=sys.argv[1], transport_options={"folder": sys.argv[2]}) as c:
    sys.stdin.readline()
    for number in range(500):
        message = c.default_channel.prepare_message(f"{sys.argv[3]}-{number}")
        c.default_channel.basic_publish(message, exchange="", routing_key="q")
"""

CONSUME = """
import sys, time
from kombu import Connection
ends = time.monotonic() + 60
with Connection("filesystem://", transport=sys.argv[1], transport_options={"folder": sys.argv[2]}) as c:
    sys.stdin.readline()
    while time.monotonic() < ends:
        message = c.default_channel.basic_get("q")
        if message is None:
            time.sleep(0.005)
            continue
        message.ack()
        if message.body == b"stop":
            break
        print(message.body.decode())
"""


def start(script: str, tmp_path: Path, name: str, output: Path | None = None) -> subprocess.Popen[bytes]:
    with ExitStack() as stack:
        stdout = stack.enter_context(output.open("wb")) if output else None
        return subprocess.Popen(
            [sys.executable, "-c", script, TRANSPORT, str(tmp_path / "broker"), name],
            stdin=subprocess.PIPE,
            stdout=stdout,
            cwd=ROOT,
        )


def finish(processes: list[subprocess.Popen[bytes]], within: float) -> None:
    try:
        wait_until(lambda: all(p.poll() is not None for p in processes), within)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * len(processes)


def go(processes: list[subprocess.Popen[bytes]]) -> None:
    """Lets all begin at once: each has connected and waits for a line."""
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()


def test_processes_that_bind_at_once_lose_no_binding(open_channel, tmp_path):
    processes = [start(BIND, tmp_path, str(number)) for number in range(4)]
    go(processes)
    finish(processes, within=20)
    table = open_channel(folder=str(tmp_path / "broker")).get_table("e")
    assert Counter(row.queue for row in table) == Counter(f"{p}-{n}" for p in range(4) for n in range(25))


def test_four_publishers_and_four_consumers_lose_nothing_and_double_nothing(open_channel, tmp_path):
    outputs = [tmp_path / f"consumer-{number}" for number in range(4)]
    consumers = [start(CONSUME, tmp_path, "", output) for output in outputs]
    publishers = [start(PUBLISH, tmp_path, str(number)) for number in range(4)]
    try:
        go(consumers + publishers)
        finish(publishers, within=20)
        put(
            open_channel(folder=str(tmp_path / "broker")), "q", *["stop"] * 4
        )  # first in, first out: the last
    finally:
        finish(consumers, within=20)
    taken = Counter(line for output in outputs for line in output.read_text().splitlines())
    assert taken == Counter(f"{p}-{n}" for p in range(4) for n in range(500))
    for output in outputs:  # each consumer saw each publisher's messages in their order
        seen = [line.split("-") for line in output.read_text().splitlines()]
        for publisher in "0123":
            numbers = [int(number) for who, number in seen if who == publisher]
            assert numbers == sorted(numbers)
    left = [path for path in (tmp_path / "broker" / "messages").rglob("*") if path.is_file()]
    assert left == []
