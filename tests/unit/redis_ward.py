"""A Redis store whose keys a test changes by hand, and a doctor who looks at it."""

from __future__ import annotations

from typing import Any

import msgpack

from celery_jobtrack.config import Settings
from celery_jobtrack.strategies.redis.fields import ATTEMPT, GROUP, JOB, STATES
from celery_jobtrack.testing import steps
from celery_jobtrack.tracking.doctor import Doctor
from celery_jobtrack.tracking.tracker import Tracker
from tests.unit.tracking_fixtures import RememberingPorts

ROOT = "{jobtrack:default}"


class Ward:
    """A store, a hand in its keys, and a doctor."""

    def __init__(self, store: Any, client: Any) -> None:
        self.store = store
        self.client = client
        self.ports = RememberingPorts()
        self.tracker = Tracker(store, self.ports)
        self.doctor = Doctor(self.tracker, Settings(), pause=0.0)
        store.register_worker(steps.WORKER, 1e6)

    def faults(self):
        return [finding.fault for finding in self.doctor.examine().findings]

    def kinds(self):
        return [fault.kind for fault in self.faults()]

    def is_cured_of(self, *kinds):
        before = self.snapshot()
        found = self.faults()
        assert sorted(fault.kind for fault in found) == sorted(kinds), found
        assert self.snapshot() == before, "looking has changed something"
        diagnosis = self.doctor.examine(repair=True)
        assert diagnosis.is_well, diagnosis.findings
        assert self.faults() == []
        return True

    def snapshot(self):
        # The list of queues is kept by whoever asks which are overdue.
        return {key: self.client.dump(key) for key in self.client.scan_iter() if not key.endswith(b":q")}

    def key(self, name):
        return f"{ROOT}{name}"

    def delete(self, name):
        assert self.client.delete(self.key(name)), f"there is no {name}"

    def change_job(self, job_id, state=None, **values):
        key = self.key(f":j:{job_id}")
        job = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        job[0] = job[0] if state is None else STATES[state]
        for name, value in values.items():
            job[2][JOB[name]] = value
        self.client.set(key, msgpack.packb(job, use_bin_type=False))

    def change_attempt(self, job_id, **values):
        key = self.key(f":j:{job_id}")
        job = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        attempt = job[2][JOB["attempt"]]
        attempt = dict(enumerate(attempt, 1)) if isinstance(attempt, list) else attempt
        attempt.update({ATTEMPT[name]: value for name, value in values.items()})
        job[2][JOB["attempt"]] = attempt
        self.client.set(key, msgpack.packb(job, use_bin_type=False))

    def change_group(self, group_id, **values):
        key = self.key(f":g:{group_id}")
        group = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        group = dict(enumerate(group, 1)) if isinstance(group, list) else group
        for name, value in values.items():
            if value is None:
                group.pop(GROUP[name], None)
            else:
                group[GROUP[name]] = value
        self.client.set(key, msgpack.packb(group, use_bin_type=False))
