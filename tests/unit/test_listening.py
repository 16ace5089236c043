"""``jobtrack.listen``: jobs by name that a function runs."""

from __future__ import annotations

import pytest
from celery import Celery

from celery_jobtrack import JobTrack
from celery_jobtrack.errors import ConfigurationError, UnknownJob


@pytest.fixture
def jobtrack():
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.update(task_always_eager=True, jobtrack_strategy="memory://")
    found = JobTrack(app)
    yield found
    found.close()


def test_handler_gets_the_payload(jobtrack):
    got = []
    assert jobtrack.listen("send-notification", got.append) == got.append
    jobtrack.dispatch("send-notification", {"to": "a"}, text="hi")
    assert got == [{"to": "a", "text": "hi"}]
    (job,) = jobtrack.inspect.jobs().items
    assert (job.task, str(job.state)) == ("send-notification", "SUCCESS")


def test_listen_is_a_decorator_with_options_of_tasks(jobtrack):
    @jobtrack.listen("flaky", max_retries=2, autoretry_for=(ConnectionError,), retry_backoff=False)
    def flaky(payload):
        """Fails."""
        raise ConnectionError(payload["to"])

    result = jobtrack.dispatch("flaky", to="a")
    assert (flaky.__name__, jobtrack.inspect.job(result.id).retries) == ("flaky", 2)
    assert jobtrack.runtime.app.tasks["flaky"].__doc__ == "Fails."


def test_second_handler_of_a_name_is_refused(jobtrack):
    jobtrack.listen("send", print)
    with pytest.raises(ConfigurationError, match="job 'send' has a handler already"):
        jobtrack.listen("send", repr)


def test_name_of_a_task_is_refused(jobtrack):
    @jobtrack.runtime.app.task(name="shop.add", shared=False)
    def add():
        """A task."""

    jobtrack.runtime.app.finalize()
    with pytest.raises(ConfigurationError, match="has the name of a task"):
        jobtrack.listen("shop.add", print)


def test_what_cannot_be_called_is_refused(jobtrack):
    with pytest.raises(ConfigurationError, match="cannot be called: 3"):
        jobtrack.listen("send", 3)
    with pytest.raises(UnknownJob):
        jobtrack.dispatch("send")


def test_unknown_option_is_refused_with_the_nearest_name(jobtrack):
    with pytest.raises(ConfigurationError, match="'max_retry' is not known; did you mean 'max_retries'"):
        jobtrack.listen("send", print, max_retry=3)
