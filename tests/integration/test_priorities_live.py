"""Levels of queues, with one real worker that has one process: in which order 600 mixed jobs run."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.integration.live import BOUND
from tests.waiting import wait_until

JOBS = 600
BROKERS = ("filesystem", "redis", "rabbitmq")
STRICT = {"high": {"aliases": ["critical"]}, "default": {}, "low": {}}
SHARED = {"high": {"weight": 6}, "default": {"weight": 3}, "low": {"weight": 1}}
LEVELS = tuple(STRICT)
IN_FLIGHT = 2
"""Jobs that a worker with one process may have fetched: one runs, one waits for the process."""

QUICKLY = 90.0
"""Seconds in which 600 jobs run on a busy machine."""


@pytest.fixture
def open_shop(request, make_shop):
    """Opens a shop on this broker, with these settings and no more prefetch than there must be."""

    def open_shop(broker, **conf):
        url = "" if broker == "filesystem" else request.getfixturevalue(f"{broker}_server").new_database()
        return make_shop(broker_url=url, worker_prefetch_multiplier=1, **conf)

    return open_shop


def mixed(number, seed=7):
    levels = [LEVELS[place % len(LEVELS)] for place in range(number)]
    random.Random(seed).shuffle(levels)
    return levels


def send(shop, level, name, **options):
    shop.task("note").apply_async(task_id=f"{level}:{name}", queue=level, **options)


def ran(shop):
    path = shop.folder / "runs"
    return path.read_text().split() if path.exists() else []


def await_runs(shop, number):
    wait_until(lambda: len(ran(shop)) >= number, QUICKLY, f"{number} jobs did not run")
    assert len(ran(shop)) == number
    return [job_id.partition(":")[0] for job_id in ran(shop)]


@pytest.mark.parametrize("broker", BROKERS)
def test_levels_go_strictly_one_after_the_other_and_overtake_what_waits(open_shop, broker):
    shop = open_shop(broker, jobtrack_queues=STRICT)
    early = mixed(JOBS * 5 // 6)
    for place, level in enumerate(early):
        send(shop, level, place)
    number = Counter(early)
    with shop.worker("-c", "1"):
        first = await_runs(shop, len(early))
        assert first == ["high"] * number["high"] + ["default"] * number["default"] + ["low"] * number["low"]
        for place in range(10):
            send(shop, "low", f"late-{place}")
        shop.task("wait").apply_async(("turn",), queue="low")
        for place in range(JOBS // 6 - 11):
            send(shop, "low", f"later-{place}")
        shop.await_running("turn")
        for place in range(60):
            send(shop, "default", f"late-{place}")
        for place in range(60):
            send(shop, "critical", f"late-{place}")
        shop.let_go("turn")
        after = await_runs(shop, len(early) + JOBS // 6 - 1 + 120)[len(early) + 10 :]
    assert after[:IN_FLIGHT].count("low") <= IN_FLIGHT
    rest = [level for place, level in enumerate(after) if not (place < IN_FLIGHT and level == "low")]
    assert rest == sorted(rest, key=("critical", "default", "low").index)


@pytest.mark.parametrize("broker", ["filesystem", "redis"])
def test_weights_share_the_turns_as_was_asked(open_shop, broker):
    shop = open_shop(broker, jobtrack_queues=SHARED)
    for place, level in enumerate(mixed(JOBS)):
        send(shop, level, place)
    with shop.worker("-c", "1"):
        order = await_runs(shop, JOBS)
    # As long as all have jobs: high has 200, which last for 333 turns.
    turns = Counter(order[:300])
    for level, options in SHARED.items():
        asked = 300 * options["weight"] / 10
        assert abs(turns[level] - asked) <= 0.1 * asked, turns
    assert [turns[level] for level in LEVELS] == [180, 90, 30]
    # And of the rest: default and low share it, and low has what is left.
    assert Counter(order[340:420])["default"] == pytest.approx(60, rel=0.1)


@pytest.mark.parametrize("broker", BROKERS)
def test_numbers_order_the_jobs_of_a_level_alike_on_every_broker(open_shop, broker):
    shop = open_shop(broker, jobtrack_queues=STRICT)
    numbers = [(level, number) for level in LEVELS for number in [None, *range(10)] for _ in range(3)]
    random.Random(3).shuffle(numbers)
    expected = {}
    for level, number in numbers:
        job = shop.task("note").job().on_queue(level)
        job = job if number is None else job.with_priority(number)
        # Without a number: as with 0.
        expected[job.dispatch().id] = (LEVELS.index(level), -(number or 0))
    with shop.worker("-c", "1"):
        await_runs(shop, len(numbers))
    order = [expected[job_id] for job_id in ran(shop)]
    assert order == sorted(order)


@pytest.mark.parametrize("broker", BROKERS)
def test_retries_and_redriven_jobs_stay_in_their_level(open_shop, broker):
    shop = open_shop(broker, jobtrack_queues=STRICT, task_routes={"shop.*": {"queue": "low"}})
    flaky = shop.task("flaky").job(2).on_queue("high").with_priority(3).dispatch()
    routed = shop.task("delivered").delay()
    failed = shop.task("fails_until").job("mended").on_queue("critical").dispatch()
    with shop.worker("-c", "1"):
        wait_until(lambda: all(r.job().is_final for r in (flaky, routed, failed)), BOUND, "they did not end")
        (shop.folder / "mended.go").touch()
        before = shop.jobtrack.inspect.job(failed.id)
        assert shop.jobtrack.retry(failed.id)
        wait_until(lambda: str(failed.job().state) == "SUCCESS", BOUND, "it did not succeed")
    retried, again = shop.jobtrack.inspect.job(flaky.id), shop.jobtrack.inspect.job(failed.id)
    assert (again.queue, again.priority) == (before.queue, before.priority)
    expected = {
        "filesystem": ("high", 3, "low", None),
        "redis": ("high", 3, "low", 0),
        "rabbitmq": ("celery.levels", 3, "celery.levels", 0),
    }
    assert (retried.queue, retried.priority, routed.job().queue, routed.job().priority) == expected[broker]


def test_a_queue_of_rabbitmq_that_is_there_already_keeps_its_arguments_and_is_drained(
    make_shop, rabbitmq_server
):
    url = rabbitmq_server.new_database()
    before = make_shop(broker_url=url)
    assert before.app.amqp.queues["celery"].queue_arguments is None
    before.task("note").apply_async(task_id="before:1")
    shop = make_shop(broker_url=url, worker_prefetch_multiplier=1, jobtrack_queues=STRICT)
    send(shop, "default", 1)
    with shop.worker("-c", "1", "-Q", "celery"):
        assert sorted(await_runs(shop, 2)) == ["before", "default"]


def test_quorum_queues_take_all_levels_in_whatever_order_rabbitmq_has_for_them(open_shop):
    shop = open_shop("rabbitmq", jobtrack_queues=STRICT, task_default_queue_type="quorum")
    levels = mixed(90)
    for place, level in enumerate(levels):
        send(shop, level, place)
    with shop.worker("-c", "1") as worker:
        assert sorted(await_runs(shop, len(levels))) == sorted(levels)
        assert "quorum queues keep no strict order" in worker.log.read_text()


def test_a_worker_says_what_would_defeat_the_levels(open_shop, make_shop):
    shop = make_shop(jobtrack_queues=STRICT)
    with shop.worker("-c", "1", "-Q", "critical,low", worker_prefetch_multiplier=4) as worker:
        log = worker.log.read_text()
    assert "set worker_prefetch_multiplier = 1" in log
    assert "does not consume 'default' (-Q or -X)" in log


def test_a_worker_with_wrong_levels_does_not_start(make_shop):
    shop = make_shop()
    for queues, said in [
        ({"high": {"wieght": 3}}, "did you mean 'weight'?"),
        ({"default": {}, "celery": {}}, "leave one of them out"),
    ]:
        worker = shop.start_worker(jobtrack_queues=queues)
        assert worker.wait() != 0
        assert "celery-jobtrack: ConfigurationError: jobtrack_queues" in worker.tail()
        assert said in worker.tail()
        assert "Traceback" not in worker.tail()


@pytest.mark.parametrize("broker", BROKERS)
def test_queues_say_what_every_broker_holds(open_shop, broker):
    prefixed = {"broker_transport_options": {"global_keyprefix": "shop:"}} if broker == "redis" else {}
    shop = open_shop(broker, jobtrack_queues=STRICT, **prefixed)
    for number in [None, 0, 3, 9]:
        options = {} if number is None else {"priority": number}
        for level in LEVELS:
            send(shop, level, number, **options)
    ready = {queue.name: queue.ready for queue in shop.jobtrack.inspect.queues()}
    if broker == "rabbitmq":
        assert ready == {"celery.levels": 12, "celery": 0}
    else:
        assert ready == {"high": 4, "celery": 4, "low": 4}
    # Or a worker on files hears of no question while it is busy.
    with shop.worker("-c", "1", worker_pool_putlocks=False):
        await_runs(shop, 12)
        for _ in range(3):
            shop.task("wait").apply_async(("busy",), queue="high", acks_late=True)
        shop.await_running("busy")

        def fetched():
            return {q.name: (q.ready, q.unacked, q.consumers) for q in shop.jobtrack.inspect.queues()}

        name = "celery.levels" if broker == "rabbitmq" else "high"
        wait_until(lambda: fetched()[name][0] == 1, BOUND, f"not one is fetched and one waits: {fetched()}")
        # The running one is acknowledged, the one that waits for the process is not.
        assert fetched()[name] == (1, 1 if broker == "redis" else None, 1)
        status = next(q for q in shop.jobtrack.inspect.queues(window=600) if q.name == name)
        assert status.oldest_age is not None
        assert status.rate_in == pytest.approx((15 if broker == "rabbitmq" else 7) / 600)
        shop.let_go("busy")
