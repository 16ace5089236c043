"""The faults: what is struck, how, and who is excused by it."""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.crash import journal
from tests.crash.plan import Fault
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.crash.plan import Plan
    from tests.crash.staff import Process, Staff
    from tests.servers import Server

VICTIM_SECONDS = 30.0


@dataclass(kw_only=True)
class Strike:
    """What was done."""

    what: str = ""
    pids: frozenset[int] = field(default_factory=frozenset)
    """Processes that were killed or frozen: what they had open may be lost."""
    until: float = math.inf
    """When the frozen went on: what began later is excused by nothing. The machine's time."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a fault can reach."""

    plan: Plan
    folder: Path
    staff: Staff
    store: Server | None
    store_url: str
    broker: Server


def strike(scene: Scene) -> Strike:
    """Let the plan's fault happen, and return when what was struck is back.

    Raises:
        AssertionError: It found no victim.
    """
    return _FAULTS[scene.plan.fault](scene)


def _kill_child(scene: Scene) -> Strike:
    victim = _pick(
        scene, wait_until(lambda: working(scene.folder, scene.staff), VICTIM_SECONDS, "a child runs a body")
    )
    os.kill(victim, signal.SIGKILL)
    return Strike(what=f"pool child {victim} killed", pids=frozenset({victim}))


def _kill_worker(scene: Scene) -> Strike:
    return _kill_whole(scene, _pick(scene, scene.staff.workers))


def _kill_whole(scene: Scene, worker: Process) -> Strike:
    pids = worker.pids()
    worker.kill()
    struck = Strike(what=f"{worker.name} killed, pids {sorted(pids)}", pids=pids)
    _stay_away(scene)
    scene.staff.replace_worker(worker)
    struck.what += f"; a new one after {scene.plan.away:.1f} s"
    return struck


def _kill_beat(scene: Scene) -> Strike:
    assert scene.staff.beat is not None
    scene.staff.beat.kill()
    _stay_away(scene)
    scene.staff.start_beat()
    return Strike(what=f"beat killed; started again after {scene.plan.away:.1f} s")


def _kill_delivering(scene: Scene) -> Strike:
    """Once it listens, a child or its whole worker: halves of what the plan may choose."""

    def someone() -> list[int]:
        calls = journal.open_deliveries(scene.folder)
        return [call["pid"] for call in calls if scene.staff.owner_of(call["pid"]) is not None]

    victim = wait_until(someone, VICTIM_SECONDS, "a listener is called")[0]
    owner = scene.staff.owner_of(victim)
    if scene.plan.choice < 0.5 or owner is None:
        os.kill(victim, signal.SIGKILL)
        return Strike(what=f"pool child {victim} killed in a listener", pids=frozenset({victim}))
    struck = _kill_whole(scene, owner)
    struck.what += f"; its child {victim} was in a listener"
    return struck


def _freeze_worker(scene: Scene) -> Strike:
    worker = _pick(scene, scene.staff.workers)
    pids = worker.pids()
    worker.signal_all(signal.SIGSTOP)
    try:
        _stay_away(scene)
    finally:
        until = time.time()
        worker.signal_all(signal.SIGCONT)
    what = f"{worker.name} frozen for {scene.plan.away:.1f} s, pids {sorted(pids)}"
    return Strike(what=what, pids=pids, until=until)


def _kill_store(scene: Scene) -> Strike:
    return _restart(scene, scene.store, "store", in_order=False)


def _restart_store(scene: Scene) -> Strike:
    return _restart(scene, scene.store, "store", in_order=True)


def _outage(scene: Scene) -> Strike:
    """The worker goes and comes while the store is away, at moments that the plan chooses."""
    assert scene.store is not None
    worker = _pick(scene, scene.staff.workers)
    scene.store.kill()
    _stay_away(scene, scene.plan.choice)
    pids = worker.pids()
    worker.kill()
    scene.staff.replace_worker(worker)
    _stay_away(scene, 1 - scene.plan.choice)
    scene.store.restart()
    what = (
        f"the store ({scene.store.name}) killed, then {worker.name}, pids {sorted(pids)}, which was started"
    )
    return Strike(what=f"{what} again; the store was back after {scene.plan.away:.1f} s", pids=pids)


def _kill_broker(scene: Scene) -> Strike:
    return _restart(scene, scene.broker, "broker", in_order=False)


def _restart_broker(scene: Scene) -> Strike:
    return _restart(scene, scene.broker, "broker", in_order=True)


def _restart(scene: Scene, server: Server | None, role: str, *, in_order: bool) -> Strike:
    assert server is not None
    began = time.monotonic()
    if in_order:
        server.halt()
    else:
        server.kill()
    _stay_away(scene)
    server.restart()
    how = "stopped" if in_order else "killed"
    return Strike(what=f"the {role} ({server.name}) {how}; back after {time.monotonic() - began:.1f} s")


def working(folder: Path, staff: Staff) -> list[int]:
    """The pids of pool children that are inside of a body."""
    inside: set[int] = set()
    for line in journal.read(folder / journal.BODIES):
        (inside.add if line["phase"] == "begin" else inside.discard)(line["pid"])
    living = {pid for worker in staff.workers for pid in worker.children()}
    return sorted(inside & living)


def _pick(scene: Scene, victims: Sequence):
    return victims[int(scene.plan.choice * len(victims))]


def _stay_away(scene: Scene, part: float = 1.0) -> None:
    time.sleep(part * scene.plan.away)  # drawn with the plan: it waits for nothing


_FAULTS: dict[Fault, Callable[[Scene], Strike]] = {
    Fault.CHILD: _kill_child,
    Fault.WORKER: _kill_worker,
    Fault.BEAT: _kill_beat,
    Fault.DELIVERY: _kill_delivering,
    Fault.FROZEN: _freeze_worker,
    Fault.OUTAGE: _outage,
    Fault.STORE_KILLED: _kill_store,
    Fault.STORE_RESTARTED: _restart_store,
    Fault.BROKER_KILLED: _kill_broker,
    Fault.BROKER_RESTARTED: _restart_broker,
}
