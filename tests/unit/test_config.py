from datetime import timedelta

import pytest
from celery import Celery

from celery_jobtrack.config import Settings
from celery_jobtrack.errors import ConfigurationError


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


def test_a_lease_must_outlast_a_heartbeat():
    with pytest.raises(ConfigurationError, match="healthy workers are given up"):
        read(jobtrack_lease=5, jobtrack_heartbeat=10)
