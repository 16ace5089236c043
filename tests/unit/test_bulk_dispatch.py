"""Many jobs at once, in one process: the memory broker and the memory store."""

from __future__ import annotations

import itertools

import pytest
from amqp.exceptions import ConnectionError as BrokenConnection
from celery import Task, chain, chord, group
from kombu.exceptions import OperationalError
from kombu.transport.memory import Channel

from celery_jobtrack import Overlap, errors, events
from celery_jobtrack.model.dispatched import Dispatched
from celery_jobtrack.model.lock import Claim
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.testing.steps import start_request


def counted(report):
    return (report.total, report.sent, report.known, report.not_sent, report.uncertain)


@pytest.fixture
def noop(small):
    @small.task(name="small.noop")
    def noop(*args, **kwargs):
        """Nobody runs it."""

    return noop


def test_dispatch_many_records_and_sends_a_job_for_each_signature(small, noop):
    report = small.jobtrack.dispatch_many(noop.s(number) for number in range(7))

    assert report == Dispatched(total=7, sent=7)
    assert str(report) == "7 of 7 sent"
    assert small.queued() == 7
    jobs = small.recorded()
    assert sorted(job.args for job in jobs) == [f"({number},)" for number in range(7)]
    assert {job.state for job in jobs} == {JobState.ENQUEUED}


@pytest.mark.parametrize("given", [(), [], iter(())], ids=["tuple", "list", "iterator"])
def test_dispatch_many_of_nothing_sends_nothing(small, given):
    assert small.jobtrack.dispatch_many(given) == Dispatched()
    assert small.recorded() == []


def test_group_dispatch_counts_members_before_they_are_sent_and_holds_the_group(small, noop):
    made = small.jobtrack.groups.create("many")
    seen = []

    def look(report):
        status = made.status()
        seen.append((report.sent, status.total, status.filling, small.queued()))

    report = made.dispatch((noop.s(number) for number in range(5)), chunk=2, on_progress=look)

    assert report == Dispatched(total=5, sent=5, group_id=made.id)
    assert seen == [(2, 2, True, 2), (4, 4, True, 4), (5, 5, True, 5)]
    assert not made.status().filling
    assert {job.group_id for job in small.recorded()} == {made.id}


def test_group_dispatch_of_nothing_completes_a_sealed_batch(small):
    batch = small.jobtrack.groups.create("none", standing=False)
    batch.dispatch([])
    batch.seal()

    assert batch.status().state == "COMPLETED"


@pytest.mark.parametrize("by", ["group", "id"])
def test_dispatch_many_takes_a_group_or_its_id(small, noop, by):
    made = small.jobtrack.groups.create("many")

    small.jobtrack.dispatch_many([noop.s()], group=made if by == "group" else made.id)

    assert made.status().total == 1


def test_dispatch_many_into_a_group_that_is_not_there_is_refused(small, noop):
    with pytest.raises(errors.UnknownGroup):
        small.jobtrack.dispatch_many([noop.s()], group="nowhere")
    assert small.queued() == 0


def test_dispatch_many_gives_each_signature_the_group_that_it_names(small, noop):
    ones, twos = small.jobtrack.groups.create("ones"), small.jobtrack.groups.create("twos")

    report = small.jobtrack.dispatch_many(
        noop.s(number).set(job_group=ones if number % 2 else twos) for number in range(5)
    )

    assert counted(report) == (5, 5, 0, 0, 0)
    assert (ones.status().total, twos.status().total) == (2, 3)


def test_dispatch_many_reads_no_further_than_one_chunk_ahead(small, noop):
    read = itertools.count()
    pulled = []

    def signatures():
        while True:
            pulled.append(next(read))
            yield noop.s()

    def stop(report):
        assert len(pulled) == report.total == small.queued()
        if report.total == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.jobtrack.dispatch_many(signatures(), chunk=10, on_progress=stop)
    assert len(pulled) == 30


def test_dispatch_many_closes_a_chunk_early_when_it_is_heavy(small, noop, monkeypatch):
    monkeypatch.setattr("celery_jobtrack.integration.bulk.dispatching.HEAVIEST_CHUNK", 100_000)
    chunks = []

    small.jobtrack.dispatch_many(
        [noop.s("x" * 20_000) for _ in range(7)], on_progress=lambda report: chunks.append(report.total)
    )

    assert chunks == [3, 6, 7]


def test_dispatch_many_writes_the_store_once_for_each_chunk(small, noop, monkeypatch):
    store = small.jobtrack.store
    sizes = []
    enqueue_many = store.enqueue_many
    monkeypatch.setattr(
        store, "enqueue_many", lambda asked: (sizes.append(len(asked)), enqueue_many(asked))[1]
    )
    monkeypatch.setattr(store, "enqueue", lambda asked: pytest.fail("a job was recorded by itself"))

    small.jobtrack.dispatch_many([noop.s() for _ in range(25)], chunk=10)

    assert sizes == [10, 10, 5]


def test_dispatch_many_tracks_jobs_of_tasks_that_are_not_tracked(small):
    @small.app.task(name="small.plain", shared=False)
    def plain(number):
        """Nobody runs it."""

    small.jobtrack.dispatch_many([plain.s(1), plain.s(2)])

    assert [job.task for job in small.recorded()] == ["small.plain"] * 2


def test_dispatch_many_takes_signatures_that_went_through_json(small, noop):
    import json

    small.jobtrack.dispatch_many([json.loads(json.dumps(noop.s(1, two=2)))])

    assert [(job.args, job.kwargs) for job in small.recorded()] == [("(1,)", "{'two': 2}")]


def test_dispatch_many_takes_maps_and_starmaps_as_one_job_each(small, noop):
    report = small.jobtrack.dispatch_many([noop.map([1, 2]), noop.starmap([(1, 2)])])

    assert counted(report) == (2, 2, 0, 0, 0)
    assert sorted(job.task for job in small.recorded()) == ["celery.map", "celery.starmap"]


def test_batch_sends_its_members_to_its_queue_unless_one_says_otherwise(small, noop):
    members = [noop.s(), noop.s().set(queue="own"), noop.s().set(priority=3)]

    small.jobtrack.batch(members).on_queue("imports").dispatch()

    assert sorted(job.queue for job in small.recorded()) == ["imports", "imports", "own"]


def test_dispatch_many_tells_listeners_of_each_job(small, noop):
    heard = []

    def on_enqueued(sender, *, job, **extra):
        heard.append(job.id)

    with events.job_enqueued.connected_to(on_enqueued, sender=small.jobtrack):
        small.jobtrack.dispatch_many([noop.s() for _ in range(3)])

    assert sorted(heard) == sorted(job.id for job in small.recorded())


# -- keys ----------------------------------------------------------------------------------------------


def test_dispatch_many_with_a_key_adds_only_what_is_missing(small, noop):
    first = small.jobtrack.dispatch_many([noop.s(number) for number in range(4)], key="night")
    again = small.jobtrack.dispatch_many([noop.s(number) for number in range(6)], key="night")
    other = small.jobtrack.dispatch_many([noop.s(number) for number in range(4)], key="day")

    assert [counted(report) for report in (first, again, other)] == [
        (4, 4, 0, 0, 0),
        (6, 2, 4, 0, 0),
        (4, 4, 0, 0, 0),
    ]
    assert small.queued() == len(small.recorded()) == 10


def test_dispatch_many_does_not_send_an_id_twice_that_a_signature_names(small, noop):
    twice = noop.s().set(task_id="mine")

    report = small.jobtrack.dispatch_many([twice, twice, noop.s()])

    assert counted(report) == (3, 2, 1, 0, 0)
    assert small.queued() == 2


def test_dispatch_many_with_a_key_sends_again_what_could_not_be_sent(small, noop, monkeypatch):
    Refusing(monkeypatch, after=2, errors=[OSError("the broker is full")])
    with pytest.raises(errors.DispatchFailed) as failed:
        small.jobtrack.dispatch_many([noop.s(number) for number in range(5)], key="night")
    assert counted(failed.value.dispatched) == (5, 2, 0, 3, 0)

    again = small.jobtrack.dispatch_many([noop.s(number) for number in range(5)], key="night")

    assert counted(again) == (5, 3, 2, 0, 0)
    jobs = small.recorded()
    assert {job.state for job in jobs} == {JobState.ENQUEUED}
    assert sorted(job.run for job in jobs) == [1, 1, 2, 2, 2]
    assert sorted(message_runs(small)) == [1, 1, 2, 2, 2]


# -- what goes wrong -----------------------------------------------------------------------------------


class Refusing:
    """A broker that takes some messages and then refuses."""

    def __init__(self, monkeypatch, *, after, errors):
        self._put = Channel._put
        self._errors = errors
        self._left = after
        refusing = self

        def put(channel, *args, **options):
            return refusing.put(channel, *args, **options)

        monkeypatch.setattr(Channel, "_put", put)

    def put(self, *args, **options):
        if self._left <= 0 and self._errors:
            raise self._errors.pop(0)
        self._left -= 1
        return self._put(*args, **options)


def message_runs(small):
    """Which run each message in the broker is of."""
    with small.app.connection_for_read() as connection:
        queue = connection.SimpleQueue(small.queue)
        return [queue.get_nowait().headers["jobtrack"].get("run", 1) for _ in range(len(queue))]


def test_dispatch_that_the_broker_refuses_says_what_was_sent(small, noop, monkeypatch):
    made = small.jobtrack.groups.create("many")
    Refusing(monkeypatch, after=5, errors=[OSError("the broker is full")])

    with pytest.raises(errors.DispatchFailed, match="the broker is full") as failed:
        made.dispatch((noop.s(number) for number in range(20)), chunk=4)

    assert counted(failed.value.dispatched) == (8, 5, 0, 3, 0)
    assert failed.value.dispatched.group_id == made.id
    assert isinstance(failed.value.__cause__, OSError)
    assert "key=" in str(failed.value)
    status = made.status()
    assert (status.total, status.failed, status.enqueued, status.filling) == (8, 3, 5, False)
    failures = [job for job in small.recorded() if job.state is JobState.FAILURE]
    assert {job.reason for job in failures} == {Reason.PUBLISH_FAILED}
    assert {job.error.message for job in failures} == {"the broker is full"}


def test_dispatch_over_a_connection_that_breaks_leaves_one_job_uncertain(small, noop, monkeypatch):
    Refusing(monkeypatch, after=1, errors=[OperationalError("connection reset")])

    with pytest.raises(errors.DispatchFailed) as failed:
        small.jobtrack.dispatch_many([noop.s(number) for number in range(4)])

    assert counted(failed.value.dispatched) == (4, 1, 0, 2, 1)
    states = sorted(job.state for job in small.recorded())
    assert states == [JobState.ENQUEUED, JobState.ENQUEUED, JobState.FAILURE, JobState.FAILURE]


def test_dispatch_over_a_connection_that_breaks_once_goes_on(small, noop, monkeypatch):
    refused = [BrokenConnection("connection reset")]
    Refusing(monkeypatch, after=2, errors=refused)
    small.app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0}

    report = small.jobtrack.dispatch_many([noop.s(number) for number in range(5)])

    assert counted(report) == (5, 5, 0, 0, 0)
    assert refused == []
    assert small.queued() == 5


def test_dispatch_without_retries_gives_up_when_a_connection_breaks_once(small, noop, monkeypatch):
    Refusing(monkeypatch, after=2, errors=[BrokenConnection("connection reset")])
    small.app.conf.task_publish_retry = False

    with pytest.raises(errors.DispatchFailed) as failed:
        small.jobtrack.dispatch_many([noop.s(number) for number in range(5)])

    assert counted(failed.value.dispatched) == (5, 2, 0, 2, 1)


def test_dispatch_of_a_generator_that_raises_sends_what_it_gave_before(small, noop):
    made = small.jobtrack.groups.create("many")

    def signatures():
        for number in range(7):
            yield noop.s(number)
        raise LookupError("the cursor is closed")

    with pytest.raises(errors.DispatchFailed, match="the cursor is closed") as failed:
        made.dispatch(signatures(), chunk=5)

    assert isinstance(failed.value.__cause__, LookupError)
    assert counted(failed.value.dispatched) == (7, 7, 0, 0, 0)
    assert (made.status().total, small.queued(), made.status().filling) == (7, 7, False)


def test_dispatch_whose_progress_callback_raises_says_what_was_sent(small, noop):
    def on_progress(report):
        raise RuntimeError("no room on screen")

    with pytest.raises(errors.DispatchFailed, match="no room on screen") as failed:
        small.jobtrack.dispatch_many([noop.s() for _ in range(6)], chunk=4, on_progress=on_progress)

    assert counted(failed.value.dispatched) == (4, 4, 0, 0, 0)


BAD = {
    "text": ("nonsense", "no signature"),
    "none": (None, "no signature"),
    "number": (7, "no signature"),
    "dict": ({"no": "task"}, "no signature"),
    "coroutine of the author": (object(), "no signature"),
}


@pytest.mark.parametrize(("item", "said"), BAD.values(), ids=BAD.keys())
def test_member_that_is_not_a_signature_is_refused_with_its_place(small, noop, item, said):
    with pytest.raises(errors.InvalidPayload, match=f"member 2: .*{said}") as refused:
        small.jobtrack.dispatch_many([noop.s(), noop.s(), item])

    assert counted(refused.value.dispatched) == (3, 0, 0, 3, 0)
    assert small.recorded() == []
    assert small.queued() == 0


def test_task_given_instead_of_its_signature_is_refused_with_a_hint(small, noop):
    with pytest.raises(errors.InvalidPayload, match=r"give task\.s\(…\)"):
        small.jobtrack.dispatch_many([noop])


def test_signature_of_an_unregistered_task_is_refused(small, noop):
    with pytest.raises(errors.InvalidPayload, match=r"member 0: .*'gone.away'.*send_task"):
        small.jobtrack.dispatch_many([small.app.signature("gone.away")])
    assert small.recorded() == []


def canvas(noop, kind):
    return {
        "chain": lambda: chain(noop.s(1), noop.si(2)),
        "group": lambda: group([noop.s(3), noop.s(4)]),
        "chord": lambda: chord([noop.s(5), noop.s(6)], noop.si(7)),
        "chunks": lambda: noop.chunks([(1,), (2,), (3,)], 2),
    }[kind]()


@pytest.mark.parametrize("kind", ["chain", "group", "chord", "chunks"])
def test_canvas_in_a_dispatch_is_sent_in_its_turn(small, noop, kind):
    made = small.jobtrack.groups.create("many")
    totals = []

    report = made.dispatch(
        [noop.s("before"), noop.s("before"), canvas(noop, kind), noop.s("after")],
        on_progress=lambda report: totals.append((report.total, report.sent)),
    )

    assert counted(report) == (4, 4, 0, 0, 0)
    assert totals == [(3, 3), (4, 4)]
    messages = {"chain": 1, "group": 2, "chord": 2, "chunks": 2}[kind]
    assert small.queued() == 3 + messages
    assert made.status().total >= 4


def test_canvas_in_a_dispatch_with_a_key_is_refused(small, noop):
    with pytest.raises(errors.InvalidPayload, match="member 1: it is a chain, and a key"):
        small.jobtrack.dispatch_many([noop.s(), canvas(noop, "chain")], key="night")
    assert small.recorded() == []


def test_bad_member_in_a_later_chunk_leaves_the_chunks_before_it_sent(small, noop):
    given = [*(noop.s(number) for number in range(5)), "nonsense", noop.s()]

    with pytest.raises(errors.InvalidPayload, match="member 5") as refused:
        small.jobtrack.dispatch_many(given, chunk=4)

    assert counted(refused.value.dispatched) == (6, 4, 0, 2, 0)
    assert small.queued() == len(small.recorded()) == 4


@pytest.mark.parametrize("place", [0, 3], ids=["the first of its shape", "one of a known shape"])
def test_arguments_that_cannot_be_sent_are_refused_with_their_place(small, noop, place):
    given = [noop.s(number) for number in range(5)]
    given[place] = noop.s(object())

    with pytest.raises(errors.InvalidPayload, match=f"member {place}: .*cannot be sent as json"):
        small.jobtrack.dispatch_many(given)
    assert small.recorded() == []


@pytest.mark.parametrize("place", [0, 3], ids=["the first of its shape", "one of a known shape"])
def test_arguments_that_do_not_fit_the_task_are_refused_with_their_place(small, place):
    @small.task(name="small.two")
    def two(one, other):
        """Nobody runs it."""

    given = [two.s(number, number) for number in range(5)]
    given[place] = two.s(1)

    with pytest.raises(errors.InvalidPayload, match=f"member {place}: "):
        small.jobtrack.dispatch_many(given)
    assert small.recorded() == []


def test_task_that_requires_a_group_is_refused_without_one(small):
    @small.task(name="small.grouped", group_required=True)
    def grouped():
        """Nobody runs it."""

    with pytest.raises(errors.GroupNotSet):
        small.jobtrack.dispatch_many([grouped.s()])
    made = small.jobtrack.groups.create("many")
    assert made.dispatch([grouped.s()]).sent == 1


def test_queue_that_the_app_does_not_have_is_refused(small, noop):
    small.app.conf.task_create_missing_queues = False

    with pytest.raises(errors.UnknownQueue, match=r"member 0: .*'nowhere'"):
        small.jobtrack.dispatch_many([noop.s().set(queue="nowhere")])


ARGUMENTS = {
    "one signature": (lambda noop: noop.s(), {}, "put it into a list"),
    "a group": (lambda noop: group([noop.s()]), {}, "not one group"),
    "text": (lambda noop: "abc", {}, "iterable of signatures"),
    "none": (lambda noop: None, {}, "iterable of signatures"),
    "chunk of none": (lambda noop: [], {"chunk": 0}, "chunk is a whole number"),
    "chunk of True": (lambda noop: [], {"chunk": True}, "chunk is a whole number"),
    "empty key": (lambda noop: [], {"key": ""}, "the key of a dispatch"),
    "room without a group": (lambda noop: [], {"max_outstanding": 5}, "no group="),
    "room for none": (lambda noop: [], {"max_outstanding": 0}, "max_outstanding is a whole number"),
}


@pytest.mark.parametrize(("given", "about", "said"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_dispatch_many_refuses_arguments_of_its_own_that_are_wrong(small, noop, given, about, said):
    with pytest.raises(errors.InvalidPayload, match=said):
        small.jobtrack.dispatch_many(given(noop), **about)


def test_dispatch_into_a_cancelled_group_sends_nothing(small, noop):
    batch = small.jobtrack.groups.create("many", standing=False)
    batch.cancel()
    queued = small.queued()

    with pytest.raises(errors.GroupCancelled):
        batch.dispatch([noop.s()])

    assert small.queued() == queued
    assert small.recorded() == []


def test_dispatch_whose_group_is_cancelled_meanwhile_stops(small, noop):
    made = small.jobtrack.groups.create("many")

    def cancel(report):
        if report.sent == 4:
            made.cancel()

    with pytest.raises(errors.GroupCancelled) as refused:
        made.dispatch((noop.s(number) for number in range(20)), chunk=2, on_progress=cancel)

    assert counted(refused.value.dispatched) == (6, 4, 0, 2, 0)


def test_task_whose_apply_async_sends_nothing_is_counted_as_not_sent(small):
    class Declining(Task):
        def apply_async(self, args=None, kwargs=None, **options):
            return None if args[0] % 2 else super().apply_async(args, kwargs, **options)

    @small.app.task(base=Declining, name="small.declining", shared=False)
    def declining(number):
        """Nobody runs it."""

    report = small.jobtrack.dispatch_many(declining.s(number) for number in range(5))

    assert counted(report) == (5, 3, 0, 2, 0)
    assert len(small.recorded()) == 3


# -- back-pressure, eager, off ---------------------------------------------------------------------------


def test_dispatch_with_max_outstanding_waits_for_room(small, noop):
    made = small.jobtrack.groups.create("many")
    store = small.jobtrack.store
    looked = []
    group_status = store.group_status

    def status(group_id):
        found = group_status(group_id)
        looked.append(found.outstanding)
        if len(looked) == 3:  # somebody ends what is queued
            for job in store.queued_members(group_id, 100):
                small.jobtrack.cancel(job.id)
        return found

    store.group_status = status

    report = made.dispatch((noop.s(number) for number in range(4)), chunk=2, max_outstanding=2)

    assert report.sent == 4
    assert looked == [2, 2, 2, 0]  # and none after the last chunk


def test_dispatch_many_in_an_eager_app_runs_the_jobs(eager):
    ran = []

    @eager.task(name="small.eager")
    def run(number):
        ran.append(number)

    made = eager.jobtrack.groups.create("many")

    report = made.dispatch((run.s(number) for number in range(5)), chunk=2, key="once")
    again = made.dispatch((run.s(number) for number in range(6)), chunk=2, key="once")

    assert counted(report) == (5, 5, 0, 0, 0)
    assert counted(again) == (6, 1, 5, 0, 0)
    assert ran == [0, 1, 2, 3, 4, 5]
    assert {job.state for job in eager.recorded()} == {JobState.SUCCESS}
    assert {job.group_id for job in eager.recorded()} == {made.id}


def test_dispatch_many_without_tracking_sends_all_the_same(small, noop):
    small.app.conf.jobtrack_enabled = False
    made = small.jobtrack.groups.create("inert")
    reports = []

    assert made.dispatch([noop.s(1), noop.s(2)]).sent == 2
    assert small.jobtrack.dispatch_many([noop.s(3)], group="any", on_progress=reports.append).sent == 1

    assert small.queued() == 3
    assert [report.sent for report in reports] == [1]


def test_dispatch_many_draws_a_bar_on_request(small, noop, capfd):
    small.jobtrack.dispatch_many([noop.s() for _ in range(6)], chunk=3, progress=True)

    assert "6/6" in capfd.readouterr().err


def test_dispatch_many_while_the_store_is_away_goes_on_as_single_jobs_do(small, noop, monkeypatch):
    store = small.jobtrack.store

    def away(requests):
        raise errors.StoreUnavailable("the store is away")

    monkeypatch.setattr(store, "enqueue_many", away)
    made = small.jobtrack.groups.create("many")

    assert small.jobtrack.dispatch_many([noop.s(1), noop.s(2)]).sent == 2
    with pytest.raises(errors.StoreUnavailable) as refused:
        made.dispatch([noop.s(3)])

    assert counted(refused.value.dispatched) == (1, 0, 0, 1, 0)
    assert small.queued() == 2


def test_job_that_is_sent_again_by_its_key_can_be_published_again_by_the_checker(small, noop, monkeypatch):
    Refusing(monkeypatch, after=0, errors=[OSError("the broker is full")])
    with pytest.raises(errors.DispatchFailed):
        small.jobtrack.dispatch_many([noop.s()], key="night")
    small.jobtrack.dispatch_many([noop.s()], key="night")
    [job] = small.recorded()

    small.jobtrack.runtime.ports.publish_again(job, small.jobtrack.store.message(job.id))

    assert message_runs(small) == [2, 2]


def test_key_of_jobs_in_another_group_is_refused(small, noop):
    first = small.jobtrack.groups.create("first")
    second = small.jobtrack.groups.create("second", standing=False)
    first.dispatch([noop.s(number) for number in range(2)], key="night")

    with pytest.raises(errors.InvalidPayload, match=f"into group {first.id}, and not into group {second.id}"):
        second.dispatch([noop.s(number) for number in range(4)], key="night")

    # Nothing was done to the group: the key can still be used where it belongs.
    assert (second.refresh().state, second.status().total, second.sealed) == ("AWAITING", 0, False)
    assert first.dispatch([noop.s(number) for number in range(4)], key="night").sent == 2
    assert (first.status().outstanding, small.queued()) == (4, 4)


def test_wrong_group_for_a_key_begins_no_generation(small, noop):
    first = small.jobtrack.groups.create("first")
    first.dispatch([noop.s()], key="night")
    batch = small.jobtrack.groups.create("second", standing=False)
    with pytest.raises(errors.DispatchFailed):
        batch.dispatch(breaking_off(), key="day")
    assert (batch.refresh().outcome, batch.generation) == ("FAILED", 1)

    with pytest.raises(errors.InvalidPayload, match="and not into"):
        batch.dispatch(iter([noop.s(), noop.s()]), key="night")
    assert batch.refresh().generation == 1

    assert batch.dispatch(iter([noop.s()]), key="day").sent == 1
    assert batch.refresh().generation == 2


@pytest.mark.parametrize("into_group", [True, False])
def test_task_id_that_is_used_in_another_group_is_refused_without_a_word_of_a_key(small, noop, into_group):
    first = small.jobtrack.groups.create("first")
    first.dispatch([noop.s().set(task_id="mine")])
    send = small.jobtrack.groups.create("second").dispatch if into_group else small.jobtrack.dispatch_many

    with pytest.raises(
        errors.InvalidPayload, match=r"job mine was .*gives this task_id.*another$"
    ) as refused:
        send([noop.s(), noop.s().set(task_id="mine")])

    assert counted(refused.value.dispatched) == (2, 0, 0, 2, 0)
    assert [job.id for job in small.recorded()] == ["mine"]


@pytest.mark.parametrize("no_id", [None, 5])
def test_group_of_what_is_no_id_is_unknown(small, no_id):
    with pytest.raises(errors.UnknownGroup, match="is not recorded"):
        small.jobtrack.groups.get(no_id)


@pytest.mark.parametrize(
    ("given", "about"),
    [
        (lambda noop: [noop.s(), 3], {}),
        (lambda noop: [noop.s(), 3], {"key": "night"}),
        (lambda noop: [noop.s()], {"chunk": 0}),
        (lambda noop: noop.s(), {}),
        (lambda noop: [noop.s()], {"max_outstanding": 0}),
        (lambda noop: [noop.s()], {"key": ""}),
    ],
)
@pytest.mark.parametrize("grouped", [True, False])
def test_dispatch_that_is_refused_at_once_says_that_nothing_was_sent(small, noop, given, about, grouped):
    batch = small.jobtrack.groups.create("batch", standing=False)

    with pytest.raises(errors.InvalidPayload) as refused:
        small.jobtrack.dispatch_many(given(noop), group=batch if grouped else None, **about)

    assert refused.value.dispatched is not None
    assert (refused.value.dispatched.sent, small.recorded()) == (0, [])


def test_dispatch_into_a_group_that_takes_nothing_says_that_nothing_was_sent(small, noop):
    told = small.jobtrack.groups.create("told", standing=False, catch=noop.s())
    with pytest.raises(errors.DispatchFailed):
        told.dispatch(breaking_off(noop.s()), key="night")
    cancelled = small.jobtrack.groups.create("cancelled").cancel()
    ways = {errors.GroupNotCompleted: (told, "night"), errors.GroupCancelled: (cancelled, None)}
    ways[errors.UnknownGroup] = ("nowhere", None)
    for error, (into, key) in ways.items():
        with pytest.raises(error) as refused:
            small.jobtrack.dispatch_many([noop.s(), noop.s()], group=into, key=key)
        assert counted(refused.value.dispatched) == (0, 0, 0, 0, 0)


def breaking_off(*signatures):
    yield from signatures
    raise OSError


def test_chunk_that_is_refused_leaves_nothing_that_is_sent_later(small, monkeypatch):
    @small.task(name="unique", unique_for=60)
    def unique(number):
        return number

    enqueue, seen = small.jobtrack.store.enqueue, []

    def refuse_the_third(request):
        seen.append(request.origin.job_id)
        if len(seen) == 3:
            raise errors.GroupCancelled("it was cancelled meanwhile")
        return enqueue(request)

    monkeypatch.setattr(small.jobtrack.store, "enqueue", refuse_the_third)
    with pytest.raises(errors.GroupCancelled):
        small.jobtrack.dispatch_many(unique.s(number) for number in range(4))
    ends = {(job.state, job.reason) for job in small.recorded()}
    assert ends == {(JobState.FAILURE, Reason.PUBLISH_FAILED)}
    assert small.queued() == 0


def test_job_of_many_that_shall_raise_is_skipped(small):
    @small.task(name="both", unique_for=60, without_overlapping=Overlap(key="k", on_conflict="raise"))
    def both(number):
        return number

    first = both.delay(0)
    small.jobtrack.store.start(
        start_request(first.id, "t", task="both", claims=(Claim(key="overlap:both:k"),))
    )
    done = small.jobtrack.dispatch_many(both.s(number) for number in (1, 2))
    assert (done.held_back, done.sent) == (2, 0)
