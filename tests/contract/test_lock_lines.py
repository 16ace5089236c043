"""For which lock a parked member waits, who has it, and where it stands: on every store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.lock import Standing
from celery_jobtrack.model.state import JobState
from celery_jobtrack.testing import Clock, steps
from celery_jobtrack.testing.keys import KEY, LATEST, WAIT, claim
from celery_jobtrack.tracking import lock_lines
from celery_jobtrack.tracking.explaining import Explainer
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.model.explanation import MemberExplanation
    from celery_jobtrack.strategies.contract import Store
    from tests.contract.backends import Backend

NAME = f"waits for the lock {KEY!r}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[Store]:
    with backend.fresh(clock) as found:
        found.register_worker(steps.WORKER, 1e6)
        steps.group(found)
        yield found


def why(store: Store, limit: int = 20) -> dict[str, MemberExplanation]:
    explained = Explainer(Tracker(store, RememberingPorts()), limit=limit).explain("g")
    return {member.job_id: member for member in explained.members}


def line(store: Store, clock: Clock, *, waiting: int = 3, **claims: object) -> None:
    """One has the key, and others wait for it, who are members of the group."""
    steps.start(store, "has", "t-has", **claims)
    for number in range(1, waiting + 1):
        clock.advance(30)
        steps.enqueue(store, f"waits-{number}", group_id="g", **claims)
    clock.advance(30)


def test_parked_member_names_the_holder_and_its_number_in_line(store, clock):
    line(store, clock, **WAIT)
    members = why(store)
    assert [members[f"waits-{number}"].lock.position for number in (1, 2, 3)] == [1, 2, 3]
    member = members["waits-2"]
    said, holder = member.said.split("; ")
    assert said == f"{NAME}, number 2 of 3 in line"
    assert holder == "job has (shop.resize) has it for 2 min on celery@one"
    assert (member.state, member.lock.said, member.lock.waiting) == (JobState.WAITING, member.said, 3)
    (who,) = member.lock.holders
    assert (who.job_id, who.worker, who.state) == ("has", "celery@one", JobState.STARTED)
    assert (who.is_called, who.is_worker_alive) == (False, True)
    assert (store.now() - who.since).total_seconds() == pytest.approx(120, abs=5)
    assert (store.now() - member.since).total_seconds() == pytest.approx(60, abs=5)


def test_who_comes_first_by_priority_is_number_one(store, clock):
    line(store, clock, **WAIT)
    steps.enqueue(store, "urgent", group_id="g", priority=9, **WAIT)
    members = why(store)
    assert [members[name].lock.position for name in ("urgent", "waits-1")] == [1, 2]


def test_member_whose_turn_has_come_says_so(store, clock):
    line(store, clock, **WAIT)
    steps.finish(store, "has", "t-has", **WAIT)
    members = why(store)
    assert members["waits-1"].said.startswith(f"{NAME}, and has its turn: it is about to be sent")
    assert members["waits-1"].lock.standing is Standing.CALLED
    first, holder = members["waits-2"].said.split("; ")
    assert first == f"{NAME}, number 1 of 2 in line"
    assert holder.startswith("job waits-1 (shop.resize) has had its turn for ")
    assert holder.endswith(", and has not started")


def test_member_whose_place_was_taken_says_so(store, clock):
    line(store, clock, waiting=2, **LATEST)
    said = why(store)["waits-1"].said
    assert said.startswith(f"{NAME}, where a newer job took its place: it is about to be skipped; job has")


def test_holder_that_keeps_its_key_until_its_retry_says_so(store, clock):
    line(store, clock, waiting=1, **WAIT)
    steps.retry(store, "has", "t-has", **WAIT)
    assert why(store)["waits-1"].said.endswith("job has (shop.resize) has it for 1 min, and is RETRY")


def test_holder_whose_worker_is_gone_says_so(store, clock):
    line(store, clock, waiting=1, **WAIT)
    store.stop_worker(steps.WORKER.id)
    member = why(store)["waits-1"]
    assert member.said.endswith(" on celery@one, which is gone: the checker will end it")
    assert member.lock.holders[0].is_worker_alive is False


def test_holder_that_is_not_recorded_sends_to_the_doctor(store, clock, backend):
    line(store, clock, waiting=1, **WAIT)
    backend.drop_job(store, "has")
    said = why(store)["waits-1"].said
    assert said.endswith("is not recorded: run jobtrack doctor if that stays so")
    assert "nobody has it" not in said


def test_of_many_holders_some_are_named(store, clock):
    slots = claim(limit=5)
    for number in range(4):
        steps.start(store, f"has-{number}", f"t-{number}", **slots)
    line(store, clock, waiting=1, **slots)
    lock = why(store)["waits-1"].lock
    assert (len(lock.holders), lock.more_holders) == (lock_lines.HOLDERS, 2)
    assert lock.said.endswith("; 2 more have it")


def test_key_that_was_taken_away_is_nobodys(store, clock):
    line(store, clock, waiting=1, **WAIT)
    explained = Explainer(Tracker(store, RememberingPorts()), limit=20)
    store.release_lock(KEY)
    (member,) = explained.explain("g").members
    assert "has its turn" in member.said


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def ask(*arguments: object, **named: object) -> object:
            self.asked[name] += 1
            return found(*arguments, **named)

        return ask


def test_each_key_is_asked_for_once_and_not_all_of_many(store, clock, monkeypatch):
    monkeypatch.setattr(lock_lines, "KEYS", 3)
    line(store, clock, waiting=6, **WAIT)
    for number in range(5):
        other = claim(key=f"other-{number}")
        steps.start(store, f"x-{number}", f"tx-{number}", **other)
        steps.enqueue(store, f"y-{number}", group_id="g", **other)
    counting = Counting(store)
    members = why(counting)
    assert len(members) == 11
    assert (counting.asked["places"], counting.asked["lock"], counting.asked["attempts"]) == (3, 3, 3)
    left = [member for member in members.values() if not member.lock.holders]
    assert len(left) == 3
    for member in left:
        assert member.said == f"waits for the lock {member.lock.key!r}, behind job x-{member.job_id[-1]}"


def test_who_stands_far_behind_is_not_looked_for(store, clock, monkeypatch):
    monkeypatch.setattr(lock_lines, "FARTHEST", 3)
    line(store, clock, waiting=4, **WAIT)
    members = why(store)
    assert members["waits-2"].lock.position == 2
    assert members["waits-4"].lock.position is None
    assert members["waits-4"].said.startswith(f"{NAME}, far behind in a line of 4; job has")
