"""What a round does, drawn from its seed: the same seed, round and store give the same plan."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, replace
from enum import Enum

JOBS = 200


class Fault(str, Enum):
    """What happens to a round."""

    CHILD = "child"
    """``kill -9`` of a pool child that runs a body."""
    WORKER = "worker"
    """``kill -9`` of a worker, main process and children; a new one is started after a while."""
    BEAT = "beat"
    """``kill -9`` of beat, which is started again."""
    DELIVERY = "delivery"
    """``kill -9`` of a pool child or a worker while it calls a listener of a group's event."""
    FROZEN = "frozen"
    """A worker is stopped (SIGSTOP) for longer than its lease, and goes on."""
    STORE_KILLED = "store-killed"
    STORE_RESTARTED = "store-restarted"
    OUTAGE = "outage"
    """The store is away for longer than a lease, and a worker is killed meanwhile and started again."""
    BROKER_KILLED = "broker-killed"
    BROKER_RESTARTED = "broker-restarted"

    @property
    def of_store(self) -> bool:
        return self in {Fault.STORE_KILLED, Fault.STORE_RESTARTED, Fault.OUTAGE}

    @property
    def of_broker(self) -> bool:
        return self in {Fault.BROKER_KILLED, Fault.BROKER_RESTARTED}


class Phase(int, Enum):
    """When a job is dispatched, as seen from the fault."""

    BEFORE = 0
    DURING = 1
    AFTER = 2


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """A group of the round."""

    title: str
    standing: bool = True
    settle_after: float = 0.0
    filling: bool = False
    """Whether its completion is held open until all has been dispatched."""
    last_phase: Phase = Phase.AFTER
    """A batch is sealed when the jobs of this phase have been dispatched."""


CROWDS = (
    Crowd(title="standing, filled under one hold", filling=True),
    Crowd(title="standing, fed as it comes"),
    Crowd(title="standing, fed in a loop", settle_after=0.3),
    Crowd(title="batch over all", standing=False),
    Crowd(title="batch before the fault", standing=False, last_phase=Phase.BEFORE),
    Crowd(title="batch around the fault", standing=False, last_phase=Phase.DURING),
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job to be dispatched. Its id is drawn too, so that it is known if the dispatch raises."""

    id: str
    task: str
    phase: Phase
    crowd: int | None
    seconds: float
    failures: int = 0
    pause: float = 0.0
    """Seconds between this dispatch and the one before."""

    @property
    def may_rerun(self) -> bool:
        return self.task == "late"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One round."""

    seed: int
    number: int
    store: str
    broker: str
    fault: Fault
    orders: tuple[Order, ...]
    strike_after: int
    """How many bodies have begun when the fault strikes."""
    delay: float
    """Seconds from there to the fault."""
    away: float
    """Seconds for which what was struck is away."""
    listening: float
    """Seconds that a listener takes."""
    choice: float
    """From 0 to 1: which of several victims it is."""

    @property
    def name(self) -> str:
        return f"round {self.number} of seed {self.seed}: {self.fault.value}, {self.store} over {self.broker}"


def draw(seed: int, number: int, store: str, *, fault: str | None = None, broker: str | None = None) -> Plan:
    """The plan of one round.

    Args:
        seed: Of the whole run.
        number: Of the round, from 1.
        store: ``postgresql``, ``sqlite``.
        fault: This one instead of a random one; everything else stays as drawn.
        broker: The same for the broker.
    """
    first = random.Random(f"{seed}/{store}/{number}")
    drawn_fault = first.choice([kind for kind in Fault if store != "sqlite" or not kind.of_store])
    drawn_broker = first.choice(BROKERS)
    chosen = Fault(fault) if fault else drawn_fault
    rest = random.Random(f"{seed}/{store}/{number}/rest")
    orders = _orders(rest)
    before = sum(order.phase is Phase.BEFORE for order in orders)
    plan = Plan(
        seed=seed,
        number=number,
        store=store,
        broker=broker or drawn_broker,
        fault=chosen,
        orders=orders,
        strike_after=rest.randint(5, int(before * 0.6)),
        delay=rest.uniform(0, 0.3),
        away=rest.uniform(0.2, 3.0),
        listening=rest.uniform(0.0, 0.1),
        choice=rest.random(),
    )
    if chosen is Fault.FROZEN:
        return replace(plan, away=rest.uniform(3.5, 6.5))
    if chosen is Fault.OUTAGE:
        return replace(plan, away=rest.uniform(4.0, 10.0))
    if chosen is Fault.DELIVERY:
        return replace(plan, listening=rest.uniform(0.3, 0.8))
    return plan


BROKERS = ("redis", "redis", "rabbitmq")
"""Each as often as it stands here."""


_LONGEST_PAUSE = {Phase.BEFORE: 0.0, Phase.DURING: 0.06, Phase.AFTER: 0.12}
"""First a backlog; at the end so slow that standing groups complete, and begin their next generation."""


def _orders(rng: random.Random) -> tuple[Order, ...]:
    before, during = rng.randint(100, 140), rng.randint(20, 40)
    phases = [Phase.BEFORE] * before + [Phase.DURING] * during
    phases += [Phase.AFTER] * (JOBS - len(phases))
    return tuple(_order(rng, phase) for phase in phases)


def _order(rng: random.Random, phase: Phase) -> Order:
    task = rng.choices(("quick", "slow", "flaky", "broken", "late"), weights=(40, 34, 8, 6, 12))[0]
    open_then = [n for n, crowd in enumerate(CROWDS) if phase <= crowd.last_phase]
    return Order(
        id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        task=task,
        phase=phase,
        crowd=None if rng.random() < 0.1 else rng.choice(open_then),
        seconds=0.0 if task in {"quick", "broken"} else rng.uniform(0.05, 0.3),
        failures=rng.randint(1, 2) if task == "flaky" else 0,
        pause=rng.uniform(0.0, _LONGEST_PAUSE[phase]),
    )
