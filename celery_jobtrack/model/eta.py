"""When what is left should have ended, and between which times: from how fast it went until now."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.96
"""Of the normal distribution: 95 % lie within so many standard deviations, which leaves room for what the
formulas approximate. The promise is nine times of ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """Seconds until the last of them has ended."""

    likely: float
    low: float
    high: float


def remaining(*, seconds: float, done: int, left: int, running: int = 0) -> Remaining | None:
    """How much longer it takes, if it goes on as it went.

    With ends that come at random at a steady rate, the time for ``left`` more of them is to the time that
    ``done`` took as two sums of exponential times: their ratio is F-distributed with 2·left and 2·done
    degrees of freedom, whatever the rate is. Ends that come more regularly lie within the interval all the
    more. Two things are not steady:

    - Jobs of one length end in waves. So what runs at this moment counts as done for the low end, and as
      not begun for the high one.
    - The last jobs run beside each other, and nothing follows those that end first. So the high end waits
      for the longest of as many as run now.

    Args:
        seconds: How long it has been going on.
        done: How many have ended in that time.
        left: How many have not.
        running: How many of those are running now.

    Returns:
        None while nothing has ended.
    """
    if done <= 0 or seconds <= 0:
        return None
    if left <= 0:
        return Remaining(likely=0.0, low=0.0, high=0.0)
    running = min(max(running, 0), left)
    likely = seconds / done * left
    high = seconds / done * left * _ratio(left, done, Z)
    if running > 1:
        others = left - running
        before = seconds / done * others * _ratio(others, done, Z) if others else 0.0
        high = max(high, before + seconds / done * running * _longest_of(running))
    low = 0.0
    if left > running:
        low = seconds / (done + running) * (left - running) * _ratio(left - running, done + running, -Z)
    return Remaining(likely=likely, low=min(low, likely), high=max(high, likely))


def _longest_of(running: int) -> float:
    """The longest of so many exponential times is shorter than this, 39 times of 40; in means of them."""
    return -math.log(-math.expm1(math.log(0.975) / running))


def _ratio(left: int, done: int, z: float) -> float:
    """The quantile at ``z`` of F with 2·left and 2·done degrees of freedom.

    By Paulson's approximation: the cube roots of both sums are nearly normal (Wilson and Hilferty).
    """
    a, b = 1 / (9 * left), 1 / (9 * done)
    square = (1 - b) ** 2 - z * z * b
    half = (1 - a) * (1 - b)
    constant = (1 - a) ** 2 - z * z * a
    root = math.sqrt(max(0.0, half * half - square * constant))
    return float(max(0.0, (half + math.copysign(root, z)) / square) ** 3)
