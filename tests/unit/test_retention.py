"""What the retention of an app and of its tasks comes to."""

from __future__ import annotations

import logging

import pytest
from celery import Celery

from celery_jobtrack import JobTrack, TrackableTask
from celery_jobtrack.errors import ConfigurationError, InvalidPayload
from celery_jobtrack.integration.retentions import redelivery_time, retentions_of
from celery_jobtrack.model.retention import DAY, Retention, Retentions, Rule
from celery_jobtrack.model.state import FINAL, JobState
from celery_jobtrack.testing.steps import run


def make(broker="memory://", **conf):
    app = Celery("app", broker=broker, set_as_current=False)
    app.conf.update(jobtrack_strategy="memory://", **conf)
    JobTrack(app)
    return app


def declare(app, name, retention, base=TrackableTask):
    @app.task(base=base, name=name, shared=False)
    def task():
        pass

    task.retention = retention


def settings_of(app):
    return JobTrack.of(app).settings


def held(app):
    return retentions_of(app, settings_of(app))


def test_rules_without_tasks_are_one_for_each_final_state():
    rules = Retentions(default=Retention(skipped=None)).rules()
    assert {rule.state: rule.seconds for rule in rules} == {
        JobState.SUCCESS: DAY,
        JobState.FAILURE: 30 * DAY,
        JobState.REVOKED: 7 * DAY,
    }
    assert all(rule.tasks is None and rule.without_tasks == () for rule in rules)


def test_rules_take_tasks_of_their_own_apart():
    own = {
        "short": Retention(success=60.0),
        "brief": Retention(success=60.0),
        "usual": Retention(),
        "kept": Retention(success=None),
    }
    assert Retentions(tasks=own).rules([JobState.SUCCESS]) == [
        Rule(state=JobState.SUCCESS, seconds=60.0, tasks=("brief", "short")),
        Rule(state=JobState.SUCCESS, seconds=DAY, without_tasks=("brief", "kept", "short")),
    ]


def test_rules_of_a_task_hold_where_the_app_keeps_for_ever():
    retentions = Retentions(default=Retention.alike(1.0).overridden({"failure": None}, float))
    with_task = Retentions(default=retentions.default, tasks={"t": Retention(failure=5.0)})
    assert with_task.rules([JobState.FAILURE]) == [Rule(state=JobState.FAILURE, seconds=5.0, tasks=("t",))]


def test_a_worker_is_kept_as_long_as_any_job_that_is_not_kept_for_ever():
    assert Retention().worker == 30 * DAY
    assert Retention(failure=None).worker == 7 * DAY
    assert Retention(**{str(state).lower(): None for state in FINAL}).worker == 7 * DAY


def test_a_task_overrides_only_what_it_declares():
    app = make(jobtrack_retention={"failure": 100, "revoked": 50})
    declare(app, "t", {"success": 10, "other": 20})
    own = held(app).tasks["t"]
    assert (own.success, own.failure, own.revoked, own.skipped) == (10.0, 100.0, 20.0, 20.0)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"group": 3}, "'group' is not known"),
        ({"sucess": 3}, "did you mean 'success'"),
        ({"success": -1}, "success: it must be more than 0"),
        (3, "it must be a mapping"),
    ],
)
def test_a_wrong_declaration_of_a_task_is_refused_at_start_up(declared, said):
    app = make()
    declare(app, "shop.resize", declared)
    with pytest.raises(ConfigurationError, match=f"task shop.resize: retention = .*{said}"):
        JobTrack.of(app).runtime.check_configuration()


def test_the_attribute_of_a_task_that_is_not_ours_is_left_alone():
    app = make()
    declare(app, "t", "whatever it means there", base=None)
    JobTrack.of(app).runtime.check_configuration()
    assert held(app).tasks == {}


@pytest.mark.parametrize(
    ("broker", "options", "expected"),
    [
        ("redis://", {}, 3600.0),
        ("redis://", {"visibility_timeout": 43200}, 43200.0),
        ("memory://", {}, None),
        ("amqp://", {}, None),
    ],
)
def test_redelivery_time_is_what_the_broker_has(broker, options, expected):
    assert redelivery_time(make(broker, broker_transport_options=options)) == expected


def test_nothing_is_kept_for_less_than_the_redelivery_time(caplog):
    app = make("redis://", jobtrack_retention={"success": 60, "failure": None})
    declare(app, "short", {"success": 5})
    declare(app, "long", {"success": 5000})
    kept = held(app)
    assert (kept.default.success, kept.default.failure) == (3600.0, None)
    assert (kept.tasks["short"].success, kept.tasks["long"].success) == (3600.0, 5000.0)
    with caplog.at_level(logging.WARNING):
        JobTrack.of(app).runtime.check_configuration()
    (record,) = caplog.records
    assert "at least 3600 s, the broker's visibility_timeout" in record.getMessage()
    assert "jobtrack_retention, short:" in record.getMessage()


def test_no_warning_where_everything_is_kept_long_enough(caplog):
    app = make("redis://")
    with caplog.at_level(logging.WARNING):
        JobTrack.of(app).runtime.check_configuration()
    assert not caplog.records


def test_prune_by_hand_takes_what_is_asked_for(small):
    store = small.jobtrack.store
    for job_id in ("a", "b"):
        run(store, job_id)
    chunks = []
    assert small.jobtrack.prune().total == 0
    assert small.jobtrack.prune(older_than=0, states="failure").total == 0
    assert small.jobtrack.prune(older_than=0, states=["success"], on_chunk=chunks.append).jobs == 2
    assert [chunk.jobs for chunk in chunks] == [2]


@pytest.mark.parametrize(
    "asked",
    [
        {"older_than": -1},
        {"older_than": "7d"},
        {"older_than": False},
        {"older_than": [1]},
        {"states": ["nope"]},
        {"states": "STARTED"},
        {"states": [None]},
    ],
)
def test_prune_by_hand_refuses_what_it_cannot_mean(small, asked):
    with pytest.raises(InvalidPayload):
        small.jobtrack.prune(**asked)
