"""The interval in which the end should lie: does it, in processes whose end is known?"""

from __future__ import annotations

import heapq
import math
import random

import pytest

from celery_jobtrack.model.eta import remaining

RUNS = 300


def ends_of(draw, jobs, workers, rng):
    """When jobs end that so many workers take one after the other, in order."""
    free = [0.0] * workers
    ends = []
    for _ in range(jobs):
        end = heapq.heappop(free) + draw(rng)
        heapq.heappush(free, end)
        ends.append(end)
    return sorted(ends)


def coverage(draw, *, jobs, workers, share, seed=7):
    """How often the true end lies in the interval that is given after a share of the jobs has ended."""
    rng = random.Random(seed)
    inside = 0
    for _ in range(RUNS):
        ends = ends_of(draw, jobs, workers, rng)
        done = max(1, math.floor(share * jobs))
        # Somebody looks at any time while so many have ended, not at the very end of one.
        now = rng.uniform(ends[done - 1], ends[done]) or 1e-9
        running = min(workers, jobs - done)
        found = remaining(seconds=now, done=done, left=jobs - done, running=running)
        inside += found.low <= ends[-1] - now <= found.high
    return inside / RUNS


STEADY = {
    "random": lambda rng: rng.expovariate(1.0),
    "of one length": lambda rng: 1.0,
    "of two lengths": lambda rng: rng.choice((0.2, 1.0)),
    "a little uneven": lambda rng: rng.gammavariate(4.0, 0.25),
}


@pytest.mark.parametrize("kind", STEADY)
@pytest.mark.parametrize(("jobs", "workers"), [(20, 1), (20, 4), (200, 1), (200, 8), (1000, 4)])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_end_of_a_steady_process_lies_in_the_interval_nine_times_of_ten(kind, jobs, workers, share):
    assert coverage(STEADY[kind], jobs=jobs, workers=workers, share=share) >= 0.9


def test_interval_narrows_with_what_is_known():
    widths = []
    for done in (1, 10, 100, 1000):
        found = remaining(seconds=float(done), done=done, left=1000)
        assert found.low < found.likely == 1000.0 < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 200


def test_interval_begins_now_while_all_that_is_left_is_running():
    assert remaining(seconds=10.0, done=5, left=3, running=3).low == 0.0


@pytest.mark.parametrize(("seconds", "done"), [(10.0, 0), (0.0, 3), (-1.0, 3)])
def test_nothing_is_said_before_something_has_ended(seconds, done):
    assert remaining(seconds=seconds, done=done, left=3) is None


def test_nothing_left_ends_now():
    found = remaining(seconds=10.0, done=5, left=0)
    assert (found.low, found.likely, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("left", "done"), [(1, 1), (1, 10**6), (10**6, 1), (10**9, 10**9)])
def test_interval_is_finite_and_in_order_at_the_extremes(left, done):
    found = remaining(seconds=1.0, done=done, left=left)
    assert 0.0 <= found.low <= found.likely <= found.high < math.inf
