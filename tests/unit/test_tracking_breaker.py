import pytest

from celery_jobtrack.errors import SchemaMismatch, StoreUnavailable
from celery_jobtrack.tracking.breaker import LONGEST, Breaker


class Store:
    def __init__(self):
        self.now = 100.0
        self.calls = 0
        self.takes = 0.0
        self.error = None

    def clock(self):
        return self.now

    def ask(self):
        self.calls += 1
        self.now += self.takes
        if self.error is not None:
            raise self.error
        return "answer"


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def breaker(store):
    return Breaker(store.clock)


def test_call_goes_through_while_the_store_answers(store, breaker):
    assert [breaker.call(store.ask) for _ in range(3)] == ["answer"] * 3


def test_store_found_away_is_not_asked_for_a_second(store, breaker):
    store.error = StoreUnavailable("refused")
    with pytest.raises(StoreUnavailable, match=r"^refused$"):
        breaker.call(store.ask)
    store.now += 0.9
    with pytest.raises(StoreUnavailable, match=r"refused \(it is asked again in 0.1 s\)"):
        breaker.call(store.ask)
    assert store.calls == 1
    store.now += 0.2
    store.error = None
    assert breaker.call(store.ask) == "answer"


def test_store_that_is_slow_to_fail_is_left_alone_twice_as_long(store, breaker):
    store.error, store.takes = StoreUnavailable("silent"), 5.0
    with pytest.raises(StoreUnavailable):
        breaker.call(store.ask)
    store.now += 9.9
    with pytest.raises(StoreUnavailable, match="asked again"):
        breaker.call(store.ask)
    store.now += 0.2
    with pytest.raises(StoreUnavailable):
        breaker.call(store.ask)
    assert store.calls == 2
    store.takes = 100.0
    store.now += 11
    with pytest.raises(StoreUnavailable):
        breaker.call(store.ask)
    store.now += LONGEST
    store.error, store.takes = None, 0
    assert breaker.call(store.ask) == "answer"


@pytest.mark.parametrize("error", [ValueError("bad"), SchemaMismatch("old tables")])
def test_other_errors_do_not_stop_the_next_call(store, breaker, error):
    store.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            breaker.call(store.ask)
    assert store.calls == 2


def test_one_caller_finds_out_and_the_others_do_not_wait(store, breaker):
    store.error = StoreUnavailable("silent")
    with pytest.raises(StoreUnavailable):
        breaker.call(store.ask)
    store.now += 2
    others = []

    def probe():
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="asked again"):
                breaker.call(store.ask)
            others.append(store.calls)
        return "answer"

    assert breaker.call(probe) == "answer"
    assert others == [1, 1, 1]
    store.error = None
    assert breaker.call(store.ask) == "answer"


def test_store_that_answers_with_another_error_is_there(store, breaker):
    store.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        breaker.call(store.ask)
    store.now += 2
    store.error = ValueError("bad")
    with pytest.raises(ValueError):
        breaker.call(store.ask)
    store.error = None
    assert breaker.call(store.ask) == "answer"
