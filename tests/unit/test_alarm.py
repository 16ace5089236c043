"""An alarm looks when something is due and when it is woken, and rests in between."""

from __future__ import annotations

import threading

from celery_jobtrack.integration.alarm import Alarm
from tests.waiting import wait_until


class Looks:
    """Gives these answers, one for each look; after the last one that nothing is due."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.count = 0
        self.ended = threading.Event()

    def __call__(self):
        self.count += 1
        if not self._answers:
            self.ended.set()
            return None
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(looks, at_least_every=None):
    alarm = Alarm("test", looks, at_least_every)
    alarm.start()
    return alarm


def test_alarm_looks_when_it_is_woken_and_goes_on_while_somebody_is_due():
    looks = Looks(0.01, 0.0, 0.01, 0.0)
    alarm = run(looks)
    alarm.wake()
    assert looks.ended.wait(10)
    assert looks.count == 5
    alarm.stop()


def test_alarm_that_found_nothing_at_its_time_rests_until_it_is_woken():
    looks = Looks(0.01, 0.01, 0.01, 0.01)
    alarm = run(looks)
    alarm.wake()
    wait_until(lambda: looks.count == 2)
    assert not looks.ended.wait(0.2)
    assert looks.count == 2
    alarm.wake()
    wait_until(lambda: looks.count == 4)
    alarm.stop()


def test_alarm_of_a_worker_looks_anyway():
    looks = Looks(0.01, 0.01, 0.01)
    alarm = run(looks, at_least_every=0.01)
    assert looks.ended.wait(10)
    alarm.stop()


def test_alarm_outlives_a_look_that_fails(monkeypatch):
    monkeypatch.setattr("celery_jobtrack.integration.alarm.AFTER_FAILURE", 0.01)
    looks = Looks(ValueError("broken"))
    alarm = run(looks)
    alarm.wake()
    assert looks.ended.wait(10)
    alarm.stop()
