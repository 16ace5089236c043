"""The keys that a job claims: from declarations, options and arguments."""

from __future__ import annotations

import pytest
from celery import Celery

from celery_jobtrack import JobTrack, Limit, Overlap, TrackableTask
from celery_jobtrack.errors import ConfigurationError, InvalidPayload, Overlapping
from celery_jobtrack.integration.claims import claims_of
from celery_jobtrack.integration.header import KEY, Header
from celery_jobtrack.model.lock import Claim, OnConflict


@pytest.fixture
def app():
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.task_always_eager = True
    app.conf.jobtrack_strategy = "memory://"
    yield app
    JobTrack.of(app).close()


def report(month, deep=False, *more, **rest):
    """Takes whatever it is given."""


def strict_report(month):
    """Takes one argument."""


def _task(app, body=report, **declared):
    return app.task(base=TrackableTask, name="shop.report", shared=False, **declared)(body)


def _keys(task, *args, given=None, **kwargs):
    options = {} if given is None else {"without_overlapping": given}
    return [claim.key for claim in claims_of(task, task.name, args, kwargs, options)]


def test_task_that_declares_nothing_claims_nothing(app):
    assert _keys(_task(app), 1) == []


def test_same_arguments_make_the_same_key_however_they_are_given(app):
    task = _task(app, without_overlapping=True)
    (key,) = _keys(task, 11)
    assert key.startswith("overlap:shop.report:")
    assert _keys(task, month=11) == _keys(task, 11, deep=False) == _keys(task, deep=False, month=11) == [key]
    assert _keys(task, 12) != [key]


def test_order_of_a_mapping_does_not_matter(app):
    task = _task(app, without_overlapping=True)
    assert _keys(task, {"a": 1, "b": [2]}) == _keys(task, {"b": [2], "a": 1})


def test_template_is_filled_with_the_arguments_by_name(app):
    task = _task(app, without_overlapping=Overlap(key="{month}:{deep}"))
    assert _keys(task, 11) == _keys(task, month=11) == ["overlap:shop.report:11:False"]


def test_template_takes_what_keyword_arguments_collect(app):
    task = _task(app, without_overlapping=Overlap(key="{customer}"))
    assert _keys(task, 11, customer="c1") == ["overlap:shop.report:c1"]


def test_function_is_given_the_arguments(app):
    task = _task(app, without_overlapping=Overlap(key=lambda month, **_: f"m{month}"))
    assert _keys(task, 11) == ["overlap:shop.report:m11"]


def test_shared_key_leaves_the_task_out(app):
    task = _task(app, without_overlapping=Overlap(key="{month}", shared=True))
    assert _keys(task, 11) == ["overlap:11"]


def test_long_key_is_shortened_and_stays_different(app):
    task = _task(app, without_overlapping=Overlap(key="{month}"))
    (one,), (other,) = _keys(task, "ä" * 300 + "1"), _keys(task, "ä" * 300 + "2")
    assert one != other
    assert len(one.encode()) <= 255


def test_limit_is_for_the_task_unless_it_has_a_key(app):
    task = _task(app, max_concurrent=Limit(3))
    assert claims_of(task, task.name, (1,), {}) == (
        Claim(key="slots:shop.report", limit=3, on_conflict=OnConflict.WAIT, across_retries=False),
    )
    task.max_concurrent = Limit(2, key="{month}")
    assert _keys(task, 11) == ["slots:shop.report:11"]
    task.max_concurrent = 4
    assert [claim.limit for claim in claims_of(task, task.name, (1,), {})] == [4]


def test_two_declarations_are_claimed_in_one_order(app):
    task = _task(app, max_concurrent=1, without_overlapping=Overlap(key="{month}"))
    assert _keys(task, 11) == ["overlap:shop.report:11", "slots:shop.report"]


def test_dispatch_goes_before_the_task(app):
    task = _task(app, without_overlapping=Overlap(key="{month}"))
    assert _keys(task, 11, given=False) == []
    assert _keys(task, 11, given=Overlap(key="x")) == ["overlap:shop.report:x"]


def test_header_carries_claims(app):
    claims = (Claim(key="a", limit=3, on_conflict=OnConflict.LATEST, across_retries=False), Claim(key="b"))
    header = Header(claims=claims)
    assert Header.load({KEY: header.dump()}) == header
    assert "claims" not in Header().dump()


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"key": "{a.b}"}, "looks into an argument"),
        ({"key": "{a"}, "expected '}'"),
        ({"key": "{}"}, "does not name an argument"),
        ({"key": ""}, "key is empty"),
        ({"key": 3}, "a template, a function or None"),
        ({"on_conflict": "block"}, "on_conflict is one of 'skip', 'raise', 'wait', 'latest', not 'block'"),
        ({"shared": True}, "shared = True needs a key"),
        ({"across_retries": 1}, "across_retries is True or False"),
    ],
)
def test_overlap_refuses_what_is_wrong(declared, said):
    with pytest.raises(ValueError, match=said):
        Overlap(**declared)


@pytest.mark.parametrize("count", [0, -1, True, "3", 1.5, None])
def test_limit_refuses_what_is_no_number(count):
    with pytest.raises(ValueError, match="a limit is a whole number from 1"):
        Limit(count)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"without_overlapping": "yes"}, "without_overlapping is True, False or an Overlap"),
        ({"max_concurrent": 0}, "max_concurrent = 0: a limit is a whole number from 1"),
        ({"without_overlapping": Overlap(key="{customer}")}, "names 'customer', and the task has no such"),
        ({"max_concurrent": 2, "keep_message": False}, "parks jobs in the store"),
    ],
)
def test_wrong_declaration_is_refused_when_a_worker_starts(app, declared, said):
    _task(app, strict_report, **declared)
    app.finalize()
    with pytest.raises(ConfigurationError, match=said):
        JobTrack.of(app).runtime.check_configuration()


def test_missing_argument_is_refused_at_the_dispatch_and_nothing_is_recorded(app):
    task = _task(app, without_overlapping=Overlap(key="{customer}"))
    with pytest.raises(InvalidPayload, match="cannot be made of its arguments"):
        task.delay(11)
    assert JobTrack.of(app).inspect.jobs().items == ()


def test_argument_that_cannot_be_compared_is_refused_at_the_dispatch(app):
    task = _task(app, without_overlapping=True)
    with pytest.raises(InvalidPayload, match="cannot be compared with those of other jobs"):
        task.apply((object(),), throw=True)


def test_builder_refuses_what_is_no_overlap(app):
    with pytest.raises(InvalidPayload, match="True, False or an Overlap, not 'x'"):
        _task(app).job(1).without_overlapping("x")


def test_eager_job_has_its_fence_and_gives_the_key_back(app):
    @app.task(base=TrackableTask, bind=True, name="shop.fenced", shared=False, without_overlapping=True)
    def fenced(self):
        return self.fence, dict(self.fences)

    first, fences = fenced.delay().get()
    assert list(fences.values()) == [first]
    assert fenced.delay().get()[0] > first
    (lock,) = JobTrack.of(app).locks.list().items
    assert lock.holders == ()


def test_eager_job_that_would_have_to_wait_is_refused(app):
    @app.task(
        base=TrackableTask,
        shared=False,
        name="shop.nested",
        without_overlapping=Overlap(key="k", on_conflict="wait"),
    )
    def nested(deep):
        if deep:
            nested.delay(deep=False)

    with pytest.raises(Overlapping, match=r"has the lock 'overlap:shop\.nested:k'"):
        nested.apply((True,), throw=True)
