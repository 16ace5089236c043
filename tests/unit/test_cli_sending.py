"""``run`` and ``dispatch``: jobs sent by hand."""

from __future__ import annotations

import pytest

from tests.unit.approved import services
from tests.unit.cli_fixtures import new_shop

shop = pytest.fixture(new_shop, name="shop")
SEND = "tests.unit.approved.services:send"


@pytest.fixture(autouse=True)
def approved(shop):
    shop.app.conf.jobtrack_approved_callables = ["tests.unit.approved.services:*"]
    services.SENT.clear()


def _job(shop, job_id):
    return shop.jobtrack.inspect.job(job_id)


def test_run_sends_a_function_and_prints_the_id(shop):
    (job_id,) = shop.lines("run", SEND, '["a@example.com"]', "--retries", "3", "--priority", "5")
    job = _job(shop, job_id)
    assert (job.task, job.max_retries, job.priority, job.tags) == ("jobtrack.run_background", 3, 5, (SEND,))
    assert shop.json("run", SEND)["id"] != job_id


def test_run_takes_a_delay_and_a_queue(shop):
    (job_id,) = shop.lines("run", SEND, "--delay", "60", "--queue", "slow")
    job = _job(shop, job_id)
    assert job.queue == "slow"
    assert job.eta is not None


def test_run_refuses_what_is_not_approved_in_one_line(shop):
    assert "'os:system' may not be run" in shop.error("run", "os:system", '["true"]', code=1)
    assert "is no path of a function" in shop.error("run", "shop", code=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [("3", "a list, or a mapping of named ones, not int"), ('"text"', "not str"), ("null", "not NoneType")],
)
def test_run_refuses_arguments_that_are_neither_list_nor_mapping(shop, text, said):
    assert said in shop.error("run", SEND, text, code=1)


def test_run_refuses_what_is_no_json(shop):
    result = shop.run("run", SEND, "[1,")
    assert result.exit_code == 2
    assert "'[1,' is not JSON" in result.stderr


def test_dispatch_sends_a_job_by_its_name(shop):
    shop.jobtrack.listen("send-email", print)
    (job_id,) = shop.lines("dispatch", "send-email", '{"to": "a"}', "--queue", "mail", "--delay", "5")
    job = _job(shop, job_id)
    assert (job.task, job.queue) == ("send-email", "mail")


def test_dispatch_of_an_unknown_name_is_exit_code_2(shop):
    assert "no job is called 'nope'" in shop.error("dispatch", "nope", code=2)


def test_dispatch_refuses_a_payload_that_is_no_mapping(shop):
    shop.jobtrack.listen("send-email", print)
    assert "a job's payload is a mapping" in shop.error("dispatch", "send-email", "[1]", code=1)
