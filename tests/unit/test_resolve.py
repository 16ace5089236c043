import pytest

from celery_jobtrack.errors import ConfigurationError, StrategyNotFound
from celery_jobtrack.strategies.memory import MemoryStore
from celery_jobtrack.strategies.resolve import resolve, task_strategy
from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy


class Mine(TrackingStrategy):
    def completed(self, job_id):
        return True


class Unfinished(TrackingStrategy):
    pass


def url_of(strategy=None, **conf):
    return resolve(strategy, conf, namespace="default").store.url


@pytest.mark.parametrize(
    ("conf", "url"),
    [
        ({"broker_url": "memory://"}, "memory://"),
        ({"result_backend": "cache+memory://", "broker_url": "amqp://"}, "memory://"),
        ({"result_backend": "db+sqlite:////tmp/x/y.db"}, "sqlite:////tmp/x/y.db"),
        ({"result_backend": "rpc://", "broker_url": "sqla+sqlite:////tmp/x/z.db"}, "sqlite:////tmp/x/z.db"),
        ({"broker_url": "filesystem:////tmp/x/q"}, "sqlite:////tmp/x/q/jobtrack.db"),
        ({"broker_url": "filesystem:////tmp/x/a%20b"}, "sqlite:////tmp/x/a b/jobtrack.db"),
        (
            {"broker_url": "filesystem://", "broker_transport_options": {"folder": "/tmp/x"}},
            "sqlite:////tmp/x/jobtrack.db",
        ),
        (
            {"broker_url": "filesystem://", "broker_transport_options": {"data_folder_in": "/tmp/x/in"}},
            "sqlite:////tmp/x/jobtrack.db",
        ),
    ],
)
def test_the_store_is_inferred_from_the_backend_then_from_the_broker(conf, url):
    assert url_of(**conf) == url


def test_nothing_to_infer_from_lists_what_was_tried_and_how_to_set_it():
    with pytest.raises(StrategyNotFound) as raised:
        url_of(broker_url="sqs://", result_backend=None)
    text = str(raised.value)
    assert "result_backend (not set)" in text
    assert "broker_url (sqs: no store of this kind)" in text
    assert "app.conf.jobtrack_strategy = " in text


def test_a_plain_strategy_is_told_beside_an_inferred_store():
    resolved = resolve(Mine, {"broker_url": "memory://"}, namespace="default")
    assert isinstance(resolved.store, MemoryStore)
    assert isinstance(resolved.listener, Mine)


def test_a_store_instance_is_the_store():
    store = MemoryStore()
    assert resolve(store, {}, namespace="default").store is store


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("nowhere.at.all", "cannot be imported"),
        ("json:dumps", "is not a strategy"),
        ("justaname", "is not a strategy"),
        (42, "is not a strategy"),
        (Unfinished, r"does not define completed\(\)"),
        ("carrier+pigeon://", "no store has this scheme"),
    ],
)
def test_what_is_not_a_strategy_is_refused(strategy, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve(strategy, {"broker_url": "memory://"}, namespace="default")


def test_a_task_takes_a_plain_strategy_only():
    assert (
        isinstance(task_strategy(f"{__name__}:Mine", "t"), Mine) or __name__ not in __import__("sys").modules
    )
    for full in (MemoryStore(), "sqlite:///x.db"):
        with pytest.raises(ConfigurationError, match="an app has one store"):
            task_strategy(full, "shop.t")


def test_a_folder_that_no_url_can_name_is_refused():
    with pytest.raises(ConfigurationError, match=r"has a '\?' in its name"):
        url_of(broker_url="filesystem://", broker_transport_options={"folder": "/tmp/what?"})
