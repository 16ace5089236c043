"""``run_background``: what may run, and what is refused however it is named."""

from __future__ import annotations

import pytest
from celery import Celery

from celery_jobtrack import JobTrack
from celery_jobtrack.config import Settings
from celery_jobtrack.errors import ConfigurationError, InvalidPayload, NotApproved
from celery_jobtrack.features.background import Approval
from tests.unit.approved import services

HERE = "tests.unit.approved.services"
APPROVED = (f"{HERE}:*",)


@pytest.fixture
def app():
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.update(
        task_always_eager=True, jobtrack_strategy="memory://", jobtrack_approved_callables=APPROVED
    )
    services.SENT.clear()
    yield app
    JobTrack.of(app).close()


@pytest.fixture
def jobtrack(app):
    return JobTrack(app)


def _run(path, *args):
    return Approval(APPROVED).resolve(f"{HERE}:{path}")(*args)


def test_function_runs_with_positional_or_named_arguments(jobtrack):
    assert jobtrack.run_background(f"{HERE}:send", [1, "b"]).get() == 1
    assert jobtrack.run_background(f"{HERE}:send", {"to": "a"}).get() == 2
    assert services.SENT == [((1, "b"), {}), ((), {"to": "a"})]


def test_method_runs_on_an_instance_of_its_own():
    assert _run("Mailer.send", "a") == _run("Mailer.send", "a") == "mail:['a']"
    assert _run("Mailer.Inner.send") == "inner"
    assert services.mailer.to == []


def test_method_of_an_object_class_and_static_methods_run():
    assert _run("mailer.send", "a") == "mail:['a']"
    services.mailer.to.clear()
    assert (_run("Mailer.of_class"), _run("Mailer.static", 1)) == ("Mailer", 2)
    assert _run("Special.send", "a") == "mail:['a']"
    assert isinstance(_run("Mailer"), services.Mailer)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("os:system", "no pattern of jobtrack_approved_callables matches 'os:system'"),
        (f"{HERE}:system", "which is 'posix:system', may not be run"),
        (f"{HERE}:Popen", "which is 'subprocess:Popen', may not be run"),
        (f"{HERE}:outside", "which is 'tests.unit.approved.elsewhere:outside', may not be run"),
        (f"{HERE}:tools.system", "leads through module 'os'"),
        (f"{HERE}:os.system", "leads through module 'os'"),
        (f"{HERE}:Mailer._private", "'_private' is private"),
        (f"{HERE}:Mailer.__init__", "'__init__' is private"),
        (f"{HERE}:send.__globals__", "'__globals__' is private"),
        (f"{HERE}:part", "is a functools.partial, and only functions"),
        (f"{HERE}:thing", "CallableThing, and only functions"),
        (f"{HERE}:NUMBER", "is a builtins.int, and only functions"),
        (f"{HERE}:SENT.append", "does not say from which module it comes"),
        ("tests.unit.approved.elsewhere:outside", "no pattern"),
        ("tests.unit.approved.services.os:system", "no pattern"),
    ],
)
def test_what_is_not_approved_is_refused_and_recorded(jobtrack, path, said):
    with pytest.raises(NotApproved, match=said.replace("(", r"\(")):
        jobtrack.run_background(path, [])
    (job,) = jobtrack.inspect.jobs().items
    assert (str(job.state), str(job.reason), job.tags) == ("FAILURE", "rejected", (path,))
    assert job.error.type == "NotApproved"


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("shop", [], "is no path of a function"),
        ("shop:", [], "is no path of a function"),
        (":send", [], "is no path of a function"),
        (f"{HERE}:a b", [], "is no path of a function"),
        (f"{HERE}:send", "text", "a list, or a mapping of named ones, not str"),
        (f"{HERE}:send", 3, "a list, or a mapping of named ones, not int"),
        (f"{HERE}:send", {1: 2}, "the names of arguments are strings"),
        (f"{HERE}:nothing", [], "has no attribute 'nothing'"),
        (None, [], "is no path of a function"),
    ],
)
def test_what_leads_nowhere_is_refused_and_not_recorded(jobtrack, path, arguments, said):
    with pytest.raises(InvalidPayload, match=said):
        jobtrack.run_background(path, arguments)
    assert jobtrack.inspect.jobs().items == ()


def test_module_is_not_imported_before_its_name_is_approved():
    with pytest.raises(NotApproved):
        Approval(("shop:*",)).resolve("antigravity:fly")
    import sys

    assert "antigravity" not in sys.modules


def test_module_that_cannot_be_imported_is_named(jobtrack, app):
    app.conf.jobtrack_approved_callables = ("missing_module:*",)
    with pytest.raises(InvalidPayload, match="missing_module cannot be imported"):
        Approval(("missing_module:*",)).resolve("missing_module:run")


def test_worker_looks_again(jobtrack, app):
    """The message of a sender that may run more, or that lies, is refused where it would run."""
    task = app.tasks["jobtrack.run_background"]
    result = task.apply(("os:system", ["true"], {}))
    assert isinstance(result.result, NotApproved)
    (job,) = jobtrack.inspect.jobs().items
    assert (str(job.state), job.retries) == ("FAILURE", 0)


def test_retries_are_counted_for_the_one_job(jobtrack):
    result = jobtrack.run_background(f"{HERE}:fail", [], retries=2)
    job = jobtrack.inspect.job(result.id)
    assert (str(job.state), job.retries, len(job.attempts)) == ("FAILURE", 2, 3)
    assert jobtrack.inspect.job(jobtrack.run_background(f"{HERE}:fail").id).retries == 0


def test_job_is_found_by_the_path_of_its_function(jobtrack):
    jobtrack.run_background(f"{HERE}:send", ["a"])
    (job,) = jobtrack.inspect.jobs(tag=f"{HERE}:send").items
    assert (job.task, "'a'" in job.args) == ("jobtrack.run_background", True)


@pytest.mark.parametrize("pattern", ["*", "shop", "a:b:c", ":x", "x:", ""])
def test_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(ConfigurationError, match="is no pattern of a function"):
        Settings.read({"jobtrack_approved_callables": [pattern]})


def test_patterns_are_a_list():
    with pytest.raises(ConfigurationError, match="it must be a list of patterns"):
        Settings.read({"jobtrack_approved_callables": "shop:*"})
