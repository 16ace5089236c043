"""Draws plans: the same seed, number and store give the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from celery_jobtrack.model.state import CallbackKind
from tests.batches.plan import (
    QUEUES,
    Act,
    Again,
    Batch,
    Blow,
    Callback,
    Deed,
    Ending,
    Entry,
    Kill,
    Kind,
    Member,
    Plan,
)

SIZES = ((0, 0, 6), (1, 3, 26), (4, 15, 38), (16, 60, 21), (61, 200, 9))
"""From, to, and how often of a hundred."""
DEEPEST = 3
"""A batch in a batch in a batch."""
BODIES_BETWEEN_KILLS = (60, 260)

_GOOD = {Kind.QUICK: 55, Kind.SLOW: 25, Kind.FLAKY: 8, Kind.IGNORED: 4, Kind.LATE: 8}
_BAD = {Kind.BROKEN: 40, Kind.WORN: 20, Kind.MENDED: 40}


def draw(seed: int, number: int, store: str, broker: str, batches: int) -> Plan:
    """The plan of one run.

    Args:
        seed: Of the whole.
        number: Of the run, from 1.
        store: ``postgresql``, ``redis`` or ``sqlite``.
        broker: ``redis`` or ``rabbitmq``.
        batches: How many.
    """
    rng = random.Random(f"{seed}/{store}/{number}")
    drawn = tuple(_Drawing(rng, f"b{n}").batch() for n in range(1, batches + 1))
    # More than there will be: they stop when all batches have ended.
    kills = tuple(
        Kill(
            blow=rng.choice((Blow.CHILD, Blow.ACTOR, Blow.WORKER)),
            after=rng.randint(*BODIES_BETWEEN_KILLS),
            choice=rng.random(),
        )
        for _ in range(2 + batches)
    )
    return Plan(seed=seed, number=number, store=store, broker=broker, batches=drawn, kills=kills)


@dataclass(frozen=True)
class _Mood:
    """What is likely in one tree of batches."""

    bad: float
    """The part of members that fail."""
    lively: float
    """How likely each member adds, nests or cancels."""


class _Drawing:
    """One batch of the plan, and those in it."""

    def __init__(self, rng: random.Random, name: str, depth: int = 1, mood: _Mood | None = None) -> None:
        self._rng = rng
        self._name = name
        self._depth = depth
        self._mood = mood or _Mood(
            bad=rng.choice((0.0, 0.0, 0.0, 0.02, 0.1, 0.3)), lively=rng.choice((0.0, 0.0, 0.05, 0.15))
        )
        self._members = 0
        self._children = 0

    def batch(self) -> Batch:
        rng = self._rng
        entries = tuple(self._entry() for _ in range(self._size()))
        batch = Batch(
            name=self._name,
            entries=entries,
            callbacks=tuple(self._callbacks()),
            allow_failures=rng.random() < 0.5,
            queue=QUEUES[1] if rng.random() < 0.2 else None,
            abandon_after=rng.randint(0, len(entries)) if rng.random() < 0.04 else None,
            pause=rng.choice((0.0, 0.0, 0.01 if self._depth == 1 else 0.05)),
            chunk=rng.choice((None, 1, 5)),
        )
        if self._depth > 1:
            return batch
        batch = replace(batch, acts=tuple(self._acts(batch)))
        return replace(batch, afterwards=tuple(self._afterwards(batch)))

    def _size(self) -> int:
        if self._depth > 1:
            return self._rng.choice((0, 1, 2, 3, 5, 8, 13))
        weights = [weight for _, _, weight in SIZES]
        low, high, _ = self._rng.choices(SIZES, weights)[0]
        return self._rng.randint(low, high)

    def _entry(self) -> Entry:
        if self._rng.random() < 0.04 and self._depth < DEEPEST:
            return self._child()
        return self._member()

    def _child(self) -> Batch:
        self._children += 1
        return _Drawing(self._rng, f"{self._name}.b{self._children}", self._depth + 1, self._mood).batch()

    def _member(self, *, plain: bool = False) -> Member:
        rng, mood = self._rng, self._mood
        self._members += 1
        name = f"{self._name}.m{self._members}"
        if not plain and rng.random() < mood.lively:
            return self._lively(name)
        kinds = _BAD if rng.random() < mood.bad else _GOOD
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        return Member(
            name=name,
            kind=kind,
            seconds=rng.uniform(0.02, 0.25) if kind in {Kind.SLOW, Kind.LATE} else 0.0,
            failures=rng.randint(1, 2) if kind in {Kind.FLAKY, Kind.WORN} else 0,
        )

    def _lively(self, name: str) -> Member:
        rng = self._rng
        kinds = {Kind.ADDER: 6, Kind.NESTER: 3 if self._depth < DEEPEST else 0, Kind.CANCELLER: 1}
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        if kind is Kind.CANCELLER:
            return Member(name=name, kind=kind)
        more = (self._child(),) if kind is Kind.NESTER else self._several()
        return Member(name=name, kind=kind, seconds=rng.uniform(0.0, 0.1), more=more)

    def _several(self) -> tuple[Entry, ...]:
        return tuple(self._member(plain=True) for _ in range(self._rng.choice((0, 1, 1, 2, 3, 8))))

    def _callbacks(self) -> list[Callback]:
        rng = self._rng
        chances = {
            CallbackKind.BEFORE: 0.4,
            CallbackKind.PROGRESS: 0.4,
            CallbackKind.THEN: 0.8,
            CallbackKind.CATCH: 0.8,
            CallbackKind.FINALLY: 0.8,
        }
        found = []
        for kind, chance in chances.items():
            how_many = 0 if rng.random() >= chance else rng.choice((1, 1, 1, 2))
            found += [self._callback(kind, number) for number in range(how_many)]
        return found

    def _callback(self, kind: CallbackKind, number: int) -> Callback:
        rng = self._rng
        return Callback(
            kind=kind,
            number=number,
            every=rng.choice((1, 2, 3, 5, 10, 20, 20)) if kind is CallbackKind.PROGRESS else 0,
            ending=rng.choices(list(Ending), (8, 1, 1))[0],
            seconds=rng.choice((0.0, 0.0, 0.1)),
            queue=rng.choice((None, None, QUEUES[1])),
        )

    def _acts(self, batch: Batch) -> list[Act]:
        rng = self._rng
        acts = []
        # A few things at a time: most batches are left to themselves, or there would be few successes.
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            deed = rng.choices(list(Deed), (6, 2, 3))[0]
            target = batch if deed is Deed.ADD else rng.choice(list(batch.batches()))
            more: tuple[Entry, ...] = ()
            if deed is Deed.ADD:
                more = (self._child(),) if rng.random() < 0.4 else self._several()
            acts.append(
                Act(deed=deed, target=target.name, after=rng.uniform(0, 2), more=more, choice=rng.random())
            )
        return acts

    def _afterwards(self, batch: Batch) -> list[Act]:
        rng = self._rng
        acts = []
        for _ in range(rng.choice((0, 1, 1, 2)) if self._mood.bad else rng.choice((0, 0, 0, 1))):
            deed = rng.choices(list(Again), (6, 1, 1, 2))[0]
            on_root = deed is Again.REOPEN or rng.random() < 0.7
            target = batch if on_root else rng.choice(list(batch.batches()))
            more = self._several() if deed is Again.REOPEN else ()
            acts.append(Act(deed=deed, target=target.name, more=more))
        return acts
