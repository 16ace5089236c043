"""A store in the hands of a doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.config import Settings
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.doctor import Doctor
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts

if TYPE_CHECKING:
    from celery_jobtrack.model.fault import Fault, FaultKind
    from celery_jobtrack.strategies.contract import Store
    from celery_jobtrack.tracking.doctor import Diagnosis


class Ward:
    """A store, ports that remember, and a doctor."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ports = RememberingPorts()
        self.tracker = Tracker(store, self.ports)
        self.doctor = Doctor(self.tracker, Settings(), pause=0.0)
        store.register_worker(steps.WORKER, 1e6)

    def faults(self) -> list[Fault]:
        return [finding.fault for finding in self.doctor.examine().findings]

    def kinds(self) -> list[FaultKind]:
        return [fault.kind for fault in self.faults()]

    def repair(self) -> Diagnosis:
        return self.doctor.examine(repair=True)

    def snapshot(self) -> object:
        """All that the store holds, where that can be compared."""
        return None

    def is_cured_of(self, *kinds: FaultKind) -> bool:
        """Whether these faults are found, one repair mends them all, and nothing is found afterwards."""
        before = self.snapshot()
        found = self.faults()
        assert sorted(fault.kind for fault in found) == sorted(kinds), found
        assert [fault.identity for fault in self.faults()] == [fault.identity for fault in found]
        assert self.snapshot() == before, "looking has changed something"
        diagnosis = self.repair()
        assert diagnosis.is_well, diagnosis.findings
        assert self.faults() == []
        return True


def members(ward: Ward, *, ended: int = 2, queued: int = 1, group_id: str = "g", **about: Any) -> None:
    """Have a group with members, of which some have succeeded."""
    steps.group(ward.store, group_id, **about)
    for number in range(ended + queued):
        steps.enqueue(ward.store, f"{group_id}-{number}", group_id=group_id)
    for number in range(ended):
        steps.run(ward.store, f"{group_id}-{number}", group_id=group_id)
