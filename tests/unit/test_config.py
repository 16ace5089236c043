from datetime import timedelta

import pytest
from celery import Celery

from celery_jobtrack.config import Settings
from celery_jobtrack.errors import ConfigurationError
from celery_jobtrack.model.retention import DAY, Retention


def read(**conf):
    app = Celery("app", set_as_current=False)
    app.conf.update(conf)
    return Settings.read(app.conf)


def test_settings_have_defaults():
    settings = read()
    assert (settings.enabled, settings.namespace, settings.lease) == (True, "default", 45.0)


def test_settings_are_read_under_a_namespace():
    app = Celery("app", set_as_current=False)
    app.config_from_object({"CELERY_JOBTRACK_TRACK_ALL": True, "CELERY_TIMEZONE": "UTC"}, namespace="CELERY")
    assert Settings.read(app.conf).track_all is True


def test_settings_take_a_timedelta():
    assert read(jobtrack_lease=timedelta(minutes=1)).lease == 60.0


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("jobtrack_stratgy", "jobtrack_strategy"), ("jobtrack_check_intervall", "jobtrack_check_interval")],
)
def test_a_wrong_name_is_refused_with_the_nearest_right_one(name, suggested):
    with pytest.raises(ConfigurationError, match=f"{name}.*did you mean {suggested}"):
        read(**{name: 1})


def test_a_wrong_name_under_a_namespace_is_refused():
    app = Celery("app", set_as_current=False)
    app.config_from_object({"CELERY_JOBTRACK_LEESE": 3}, namespace="CELERY")
    with pytest.raises(ConfigurationError, match="did you mean jobtrack_lease"):
        Settings.read(app.conf)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", "yes"),
        ("namespace", "Not-Good"),
        ("namespace", ""),
        ("lease", -1),
        ("lease", "soon"),
        ("heartbeat", True),
        ("check_interval", float("inf")),
        ("record_args", "some"),
        ("redact", "password"),
        ("on_store_error", "panic"),
    ],
)
def test_a_wrong_value_is_refused_naming_the_setting(name, value):
    with pytest.raises(ConfigurationError, match=f"jobtrack_{name} = "):
        read(**{f"jobtrack_{name}": value})


def test_retention_overrides_what_is_given_and_leaves_the_rest():
    kept = read(jobtrack_retention={"success": timedelta(hours=2), "failure": None}).retention
    assert (kept.success, kept.failure, kept.revoked) == (7200.0, None, 7 * DAY)
    assert read().retention == Retention(
        success=DAY, failure=30 * DAY, revoked=7 * DAY, skipped=7 * DAY, group=7 * DAY
    )


def test_retention_other_stands_for_what_is_not_named():
    kept = read(jobtrack_retention={"other": 100, "skipped": 50}).retention
    assert (kept.revoked, kept.skipped, kept.group) == (100.0, 50.0, 100.0)
    assert kept.success == DAY


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"succes": 3}, "'succes' is not known; did you mean 'success'"),
        ({"FAILURE": 3}, "did you mean 'failure'"),
        ({"zzz": 3}, "known: 'success', 'failure', 'other', 'revoked', 'skipped', 'group'"),
        ({3: 3}, "3 is not known"),
        ({"success": 0}, "success: it must be more than 0"),
        ({"success": "7d"}, "success: it must be a number of seconds or a timedelta; None keeps for ever"),
        ({"other": True}, "other: it must be a number"),
        (3600, "it must be a mapping of 'success'"),
        (None, "it must be a mapping"),
    ],
)
def test_a_wrong_retention_is_refused(value, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        read(jobtrack_retention=value)
    assert "jobtrack_retention = " in str(caught.value)


def test_a_lease_must_outlast_a_heartbeat():
    with pytest.raises(ConfigurationError, match="healthy workers are given up"):
        read(jobtrack_lease=5, jobtrack_heartbeat=10)


@pytest.mark.parametrize("name", ["jobtrack_job_log", "jobtrack_error_log"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "this is a folder"),
        ("logs/", "this is a folder"),
        ("nowhere/jobs.log", "there is no folder .*nowhere; make it"),
    ],
)
def test_a_log_that_cannot_be_a_file_is_refused(name, path, said, tmp_path):
    with pytest.raises(ConfigurationError, match=f"{name} = .*{said}"):
        read(**{name: f"{tmp_path}/{path}"})


@pytest.mark.parametrize("value", ["", 3, True, b"jobs.log"])
def test_a_log_that_is_no_path_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"jobtrack_job_log = .*it must be the path of a file"):
        read(jobtrack_job_log=value)


def test_a_log_is_where_it_was_when_the_settings_were_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = read(jobtrack_job_log="jobs.log", jobtrack_error_log=tmp_path / "errors.log")
    assert settings.job_log == str(tmp_path / "jobs.log")
    assert settings.error_log == str(tmp_path / "errors.log")
    assert read().job_log is None


def test_one_file_for_both_logs_is_refused(tmp_path):
    path = tmp_path / "jobs.log"
    with pytest.raises(ConfigurationError, match="are the same file"):
        read(jobtrack_job_log=path, jobtrack_error_log=path)
