"""Waiting is bounded, and says what it waited for."""

from __future__ import annotations

import pytest

from tests.waiting import wait_until


def test_wait_until_returns_the_first_true_value():
    values = iter([0, None, "", 7, 8])
    assert wait_until(lambda: next(values)) == 7


def test_wait_until_names_what_was_missed_and_the_last_value():
    with pytest.raises(AssertionError, match=r"^not within 0\.01 s: three rows \(last value: \[\]\)$"):
        wait_until(list, 0.01, "three rows")


def test_wait_until_asks_even_without_any_time():
    assert wait_until(lambda: True, 0)


def test_wait_until_does_not_hide_errors():
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0)
